"""Segmentation, station by station."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from attnimg.files.outputs import Outputs
from attnimg.files.source import Source
from attnimg.files.write import write_bytes
from attnimg.images.encode import Encoded
from attnimg.images.pixels import to_uint8
from attnimg.images.reader import Reader, read_reduced_and_full
from attnimg.jobs.segment.dataset_files import DatasetFiles
from attnimg.jobs.segment.mask_files import MaskFiles
from attnimg.jobs.segment.names import ClassFilter
from attnimg.jobs.segment.options import SegmentOptions
from attnimg.masks.mask import Mask, encode_mask
from attnimg.models.load import load
from attnimg.pipeline.job import Job
from attnimg.predictors.segment import Predicted, Prepared, Segmenter
from attnimg.records import Area, Record, Segmented, Skipped


class Ready(NamedTuple):
    """A decoded and scaled photo, and its files. photo: H x W x 3 at full size, if anything is drawn on it."""

    prepared: Prepared
    photo: NDArray[np.uint8] | None
    outputs: Outputs
    note: str | None


class SegmentJob(Job[Ready, Predicted]):
    """Reads, segments and writes masks and the files next to them."""

    def __init__(
        self,
        segmenter: Segmenter,
        names: Callable[[Source], Outputs],
        files: MaskFiles,
        dataset: DatasetFiles,
        reader: Reader,
    ) -> None:
        self.segmenter, self.names, self.files, self.dataset = segmenter, names, files, dataset
        self.reader = reader

    @classmethod
    def build(
        cls,
        options: SegmentOptions,
        reader: Reader,
        names: Callable[[Source], Outputs],
        classes: ClassFilter,
        extras: Mapping[str, str],
        dataset: DatasetFiles,
    ) -> Self:
        """Load the model and return the job."""
        compute = options.compute
        segmenter: Segmenter = load(
            "segment",
            options.model,
            device=compute.device,
            precision=compute.precision,
            resize=options.shortest,
            tta=options.tta,
        )
        dataset.classes = segmenter.classes
        return cls(segmenter, names, MaskFiles(options.masks, classes, extras), dataset, reader)

    def admit(self, source: Source) -> Record | Outputs:
        """Claim the names."""
        outputs = self.names(source)
        if outputs["output"].skip:
            return Skipped(source.path, os.fspath(outputs["output"].path))
        return {key: output for key, output in outputs.items() if not output.skip}

    def read(self, source: Source, outputs: Outputs) -> Ready:
        """Decode no larger than the net needs, and scale; once more at full size for drawing."""
        shortest = self.segmenter.shortest
        if not self.files.needs_photo:
            image = self.reader.read(source, shortest=shortest)
            return Ready(self.segmenter.prepare(image.on_white(), image.size), None, outputs, image.note)
        image, full = read_reduced_and_full(self.reader, source, shortest)
        prepared = self.segmenter.prepare(image.on_white(), image.size)
        return Ready(prepared, to_uint8(full.on_white()), outputs, image.note)

    def shape(self, ready: Ready) -> Hashable:
        """Photos that the net sees at one size form a batch."""
        return ready.prepared.pixels.shape

    def pixels(self, ready: Ready) -> int:
        """Count the pixels that the net sees, those of the photo if it is kept, and a third for those of the mask."""
        width, height = ready.prepared.size
        return (ready.prepared.pixels.size + width * height * (1 if ready.photo is None else 4)) // 3

    def predict(self, batch: list[Ready]) -> Sequence[Predicted]:
        """Run the net."""
        return self.segmenter.predict(
            [ready.prepared for ready in batch],
            attention=self.files.needs_attention,
            scores=self.files.needs_scores,
        )

    def encode(self, ready: Ready, outcome: Predicted) -> Encoded:
        """Return the file of a mask, with a note about reading the photo."""
        return Encoded(self._encode(self.files.postprocess(outcome.mask)), ready.note)

    def _encode(self, mask: Mask) -> memoryview:
        return encode_mask(mask, [c.color for c in self.segmenter.classes])

    def write(self, source: Source, ready: Ready, outcome: Predicted) -> Segmented:
        """Write the mask and the files next to it."""
        classes, outputs = self.segmenter.classes, ready.outputs
        mask = self.files.postprocess(outcome.mask)
        areas = count_areas(mask, [c.label for c in classes])
        written = self.files.write(outputs, ready.photo, outcome, mask, classes, areas)
        # Last, as --skip-existing takes an existing mask for done.
        write_bytes(outputs["output"], self._encode(mask))
        path, (width, height) = os.fspath(outputs["output"].path), ready.prepared.size
        self.dataset.note(path, mask, areas)
        return Segmented(source.path, path, self.segmenter.model, width, height, areas, note=ready.note, **written)


def count_areas(mask: Mask, labels: Sequence[str]) -> tuple[Area, ...]:
    """Count the pixels of each class that is present, largest first."""
    counts = [int(np.count_nonzero(mask == i)) for i in range(len(labels))]
    largest_first = sorted(range(len(labels)), key=lambda i: -counts[i])
    return tuple(Area(i, labels[i], counts[i], counts[i] / mask.size) for i in largest_first if counts[i])
