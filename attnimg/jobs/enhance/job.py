"""Enhancement, station by station. Videos cannot be batched: `video.py` does them whole."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, Self

from attnimg.drawing.overlay import draw_overlay
from attnimg.drawing.side_by_side import draw_side_by_side, fit_jpeg
from attnimg.drawing.write import write_drawing
from attnimg.files.outputs import Outputs
from attnimg.files.source import Source
from attnimg.files.state import FileStamp
from attnimg.files.write import write_bytes
from attnimg.images.decoded import DecodedImage
from attnimg.images.encode import Encoded, encode
from attnimg.images.metadata import Metadata
from attnimg.images.reader import Reader
from attnimg.jobs.enhance.names import EnhanceNames
from attnimg.jobs.enhance.options import EnhanceOptions
from attnimg.models.load import load
from attnimg.pipeline.job import Job, Tell
from attnimg.predictors.enhance import Enhancer, Prepared, Restored
from attnimg.predictors.restorer import Settings
from attnimg.records import Enhanced, Record, Skipped


class Ready(NamedTuple):
    """A decoded photo, and its files."""

    image: DecodedImage
    prepared: Prepared
    outputs: Outputs


class EnhanceJob(Job[Ready, Restored]):
    """Reads, enhances and writes photos. max_pixels: of a video's frame."""

    def __init__(
        self, enhancer: Enhancer, settings: Settings, names: EnhanceNames, reader: Reader, max_pixels: int
    ) -> None:
        self.enhancer, self.settings, self.names, self.reader = enhancer, settings, names, reader
        self.max_pixels = max_pixels

    @classmethod
    def build(cls, options: EnhanceOptions, reader: Reader, names: EnhanceNames) -> Self:
        """Load the model and return the job."""
        compute, look = options.compute, options.appearance
        enhancer: Enhancer = load(
            "enhance", options.model, device=compute.device, precision=compute.precision, tile=options.tile_side
        )
        settings = Settings(look.strength, look.exposure, look.denoise)
        return cls(enhancer, settings, names, reader, options.inputs.max_pixels)

    def admit(self, source: Source) -> Record | Outputs:
        """Claim the names."""
        outputs = self.names.plan(source)
        if outputs["output"].skip:
            return Skipped(source.path, os.fspath(outputs["output"].path))
        return {key: output for key, output in outputs.items() if not output.skip}

    def is_batched(self, source: Source) -> bool:
        """Photos are, videos are not."""
        return source.kind == "image"

    def read(self, source: Source, outputs: Outputs) -> Ready:
        """Decode the photo and make its thumbnail."""
        image = self.reader.read(source)
        return Ready(image, self.enhancer.prepare(image.pixels), outputs)

    def shape(self, ready: Ready) -> Hashable:
        """Photos of one shape and depth form a batch."""
        return ready.image.pixels.shape, ready.image.pixels.dtype

    def pixels(self, ready: Ready) -> int:
        """Count the pixels of the photo, twice for 16 bits, of its result, and of its own colors if they differ."""
        return (3 - (ready.image.profile_pixels is None)) * ready.image.pixels.nbytes // 3

    def predict(self, batch: list[Ready]) -> Sequence[Restored]:
        """Run the net."""
        wanted = any("overlay" in ready.outputs for ready in batch)
        return self.enhancer.predict([ready.prepared for ready in batch], self.settings, attention=wanted)

    def encode(self, ready: Ready, outcome: Restored) -> Encoded:
        """Return the file of an enhanced photo, with a note about reading and writing it."""
        image, writing = ready.image, self.names.writing
        encoded = encode(
            outcome.pixels,
            image.alpha,
            format=self.names.format_for(image.format),
            metadata=Metadata() if writing.strip else image.metadata,
            lossless=image.lossless,
            gray=image.gray,
            quality=writing.quality,
            original=image,
        )
        return encoded._replace(note="; ".join(filter(None, [image.note, encoded.note])) or None)

    def write(self, source: Source, ready: Ready, outcome: Restored) -> Enhanced:
        """Write the photo and its extras."""
        outputs, encoded = ready.outputs, self.encode(ready, outcome)
        note = encoded.note
        if "overlay" in outputs and outcome.attention is not None:
            write_drawing(outputs["overlay"], draw_overlay(outcome.pixels, outcome.attention))
        if "compare" in outputs:
            drawn = draw_side_by_side(ready.image.pixels, outcome.pixels)
            fitting = fit_jpeg(drawn)
            write_drawing(outputs["compare"], fitting)
            if fitting is not drawn:
                note = "; ".join(filter(None, [note, "its comparison was scaled down to the largest size of JPEG"]))
        # Last, as --skip-existing takes an existing photo for done.
        stamp = FileStamp.of(source)
        write_bytes(outputs["output"], encoded.data, modified=None if stamp is None else stamp.modified)
        width, height = ready.image.size
        files: dict[str, Any] = {key: os.fspath(output.path) for key, output in outputs.items()}
        return Enhanced(source.path, model=self.enhancer.model, width=width, height=height, note=note, **files)

    def process(self, source: Source, outputs: Outputs, tell: Tell) -> Record:
        """Enhance a video."""
        from attnimg.jobs.enhance.video import enhance_video  # imports PyAV, an extra

        return enhance_video(
            source,
            outputs["output"],
            self.enhancer,
            self.settings,
            tell,
            max_pixels=self.max_pixels,
            strip=self.names.writing.strip,
        )
