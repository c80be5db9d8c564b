"""The files of `attnimg segment` that cover all photos: a COCO file, and a table of the classes' areas."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePath
from tempfile import TemporaryFile
from typing import IO, Any

from attnimg.errors import ImageError, UsageError
from attnimg.files.outputs import Output, OutputNames
from attnimg.files.source import Source
from attnimg.files.write import put
from attnimg.jobs.batch import Collector
from attnimg.labels import SegmentClass
from attnimg.masks.mask import Mask, decode_mask
from attnimg.masks.rle import encode_runs
from attnimg.pipeline.journal.journal import Journal, JournalFailed
from attnimg.records import Area, Failed, Record, Segmented
from attnimg.version import __version__


class DatasetFiles(Collector):
    """Collects the annotations of each photo on disk, and writes the files when all photos are done.

    coco, summary: the files; None: not wanted. inputs: all sources, needed with `overwrite` only. journal: notes each
    file before it is written, so that a resumed run replaces its own. classes: set when the model is loaded.
    UsageError: a file exists, or its name is not allowed.
    """

    def __init__(
        self, coco: Path | None, summary: Path | None, *, overwrite: bool, inputs: Sequence[Source], journal: Journal
    ) -> None:
        self._journal = journal
        self._coco, self._summary = coco, summary
        self.paths = [path for path in (coco, summary) if path is not None]
        self._replaced = [path for path in self.paths if overwrite or os.fspath(path) in journal.begun]
        for option, path, ending in (("--coco", coco, ".json"), ("--summary", summary, ".csv")):
            if path is not None:
                _check(option, path, ending, path in self._replaced, inputs)
        self._noted: dict[str, list[dict[str, Any]]] = {}  # by output, until the photo's turn comes
        self.classes: Sequence[SegmentClass] = ()
        self._images, self._annotations = JsonSpool(), JsonSpool()
        self._totals: dict[int, list[int]] = {}  # by class: pixels, photos
        self._pixels = 0

    def note(self, output: str, mask: Mask, areas: Sequence[Area]) -> None:
        """Keep a mask's annotations; for any thread, before its record is known."""
        if self._coco is not None:
            self._noted[output] = [_annotate(mask, area) for area in areas]

    def collect(self, record: Record) -> Record:
        """Count a record's areas and return it.

        The record of a mask from before an interruption becomes a failure if the mask is gone.
        """
        if isinstance(record, Segmented):
            if self._coco is not None:
                try:
                    self._gather(record)
                except ImageError as error:
                    return Failed.of(record.path, error)
            self._pixels += record.width * record.height
            for area in record.classes:
                total = self._totals.setdefault(area.id, [0, 0])
                total[0] += area.pixels
                total[1] += 1
        return record

    def _gather(self, record: Segmented) -> None:
        annotations = self._noted.pop(record.output, None)
        if annotations is None:
            annotations = _annotate_again(record)
        number = self._images.count + 1
        size = {"width": record.width, "height": record.height}
        self._images.add({"id": number, "file_name": record.path, **size})
        for annotation in annotations:
            self._annotations.add({"id": self._annotations.count + 1, "image_id": number, **annotation})

    def finish(self) -> Iterator[str]:
        """Write the files, each complete or not at all, and yield a sentence for each that failed."""
        for path, make in ((self._coco, self._make_coco), (self._summary, self._make_summary)):
            if path is not None:
                try:
                    if not os.path.lexists(path):  # else it was noted, or another program made it meanwhile
                        self._journal.announce(os.fspath(path), path)
                    put(Output(path, replace=path in self._replaced), partial(make, self.classes))
                except ImageError as error:
                    yield f"attnimg: {error}"
                except JournalFailed as error:
                    yield f"attnimg: {error} Make room, and continue with `attnimg resume`."

    def _make_coco(self, classes: Sequence[SegmentClass], temporary: Path) -> None:
        categories = [{"id": c.id, "name": c.label, "supercategory": "", "color": list(c.color)} for c in classes]
        with temporary.open("x", encoding="ascii") as file:
            info = {"description": f"attnimg {__version__}"}
            file.write(f'{{"info": {json.dumps(info)}, "categories": {json.dumps(categories)}, "images": [')
            self._images.copy_to(file)
            file.write('], "annotations": [')
            self._annotations.copy_to(file)
            file.write("]}\n")

    def _make_summary(self, classes: Sequence[SegmentClass], temporary: Path) -> None:
        with temporary.open("x", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(("id", "label", "pixels", "fraction", "photos"))
            totals = [(c, *self._totals.get(c.id, (0, 0))) for c in classes]
            for c, pixels, photos in sorted(totals, key=lambda row: -row[1]):
                table.writerow((c.id, c.label, pixels, pixels / max(1, self._pixels), photos))


class JsonSpool:
    """JSON values in a temporary file: those of many photos may not fit into memory."""

    def __init__(self) -> None:
        self.count = 0
        self._error: OSError | None = None
        self._file: IO[str] | None = None

    def add(self, value: dict[str, Any]) -> None:
        """Append a value."""
        self.count += 1
        if self._error is None:
            try:
                if self._file is None:
                    self._file = TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 - its end is the process's
                self._file.write((",\n" if self.count > 1 else "\n") + json.dumps(value))
            except OSError as error:  # the masks are written all the same
                self._error = error

    def copy_to(self, file: IO[str]) -> None:
        """Write all values, separated by commas. OSError: one could not be appended."""
        if self._error is not None:
            raise self._error
        if self._file is not None:
            self._file.seek(0)
            shutil.copyfileobj(self._file, file)


def _annotate_again(record: Segmented) -> list[dict[str, Any]]:
    """Return the annotations of a mask that was written before the run was interrupted.

    Raises ImageError: write-failed, if the mask has changed since its record was recalled.
    """
    lost = f"Its mask {record.output} has changed since this run wrote it. Run `attnimg resume` to make it again."
    try:
        mask = decode_mask(record.output)
    except OSError as error:
        raise ImageError("write-failed", lost) from error
    if any((mask == area.id).sum() != area.pixels for area in record.classes):
        raise ImageError("write-failed", lost)
    return [_annotate(mask, area) for area in record.classes]


def _annotate(mask: Mask, area: Area) -> dict[str, Any]:
    inside = mask == area.id
    rows, columns = inside.any(1).nonzero()[0], inside.any(0).nonzero()[0]
    top, left = int(rows[0]), int(columns[0])
    return {
        "category_id": area.id,
        "area": area.pixels,
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "iscrowd": 0,  # else readers skip it
        "segmentation": {"size": list(mask.shape), "counts": encode_runs(inside)},
    }


def _check(option: str, path: Path, ending: str, may_replace: bool, inputs: Sequence[Source]) -> None:
    if path.suffix.lower() != ending or path.is_dir():
        raise UsageError(f"{option} needs a file name that ends in {ending}, not {path}.")
    if os.path.lexists(path) and not may_replace:
        raise UsageError(f"{option}: {path} exists. Use --overwrite, move it away, or name another file.")
    try:
        source = Source(os.fspath(path), PurePath(path.name))
        OutputNames(path.parent, overwrite=True, inputs=inputs).place(source, path.suffix)
    except ImageError as error:
        raise UsageError(f"{option}: {error}") from error
