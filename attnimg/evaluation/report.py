"""The files of an evaluation: tables and plots."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from attnimg.evaluation.classification import ClassificationMetrics
from attnimg.evaluation.enhancement import PhotoMetrics
from attnimg.evaluation.plots import draw_confusion, draw_reliability
from attnimg.evaluation.segmentation import SegmentationMetrics


class Metrics(Protocol):
    """Metrics to which images were added."""

    @property
    def images(self) -> int:
        """Number of images that were added."""
        ...

    def results(self) -> Iterator[tuple[str, float]]:
        """Yield each result's name and value."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """The measures of a model on a data set.

    dataset: the measured images, in words. write_details: writes tables and plots into a folder; returns their paths.
    """

    metrics: Metrics
    dataset: str
    write_details: Callable[[Path], list[Path]]

    @property
    def results(self) -> dict[str, float]:
        """The number of images, and each result by name. ValueError: no images were added."""
        return {"images": self.metrics.images, **dict(self.metrics.results())}

    def write(self, folder: Path, **about: str) -> list[Path]:
        """Write metrics.json and the details; return their paths.

        folder: created if missing; files of these names are replaced. about: further keys of metrics.json. ValueError:
        no images were added, or a result is NaN or infinite. Unavailable: matplotlib is missing; the tables are written
        nevertheless.
        """
        text = json.dumps({**about, **self.results}, indent=2, allow_nan=False)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.json"
        path.write_text(text + "\n", encoding="ascii")
        return [path, *self.write_details(folder)]


def write_classes(folder: Path, metrics: ClassificationMetrics, classes: Mapping[str, str]) -> list[Path]:
    """Write per-class.csv, confusion.csv, confusion.png and calibration.png; return their paths.

    classes: labels by id, in the order of the class indices. CSV files are UTF-8 with a header row. In per-class.csv a
    value is empty if it is undefined: the precision of a class that was never predicted, the recall of a class without
    images.
    """
    ids, labels, confusion = list(classes), list(classes.values()), metrics.confusion.tolist()
    columns = zip(ids, labels, map(sum, confusion), *(v.tolist() for v in metrics.per_class()), strict=True)
    return [
        _write_csv(folder / "per-class.csv", ("id", "label", "images", "precision", "recall"), columns),
        _write_confusion(folder, "id", ids, confusion),
        draw_confusion(folder / "confusion.png", metrics.confusion, labels),
        draw_reliability(folder / "calibration.png", metrics.reliability),
    ]


def write_photos(folder: Path, metrics: PhotoMetrics, names: Sequence[str]) -> list[Path]:
    """Write per-image.csv, one row of scores per photo; return its path. names: of the photos."""
    rows = ([name, *row.values()] for name, row in zip(names, metrics.rows, strict=True))
    return [_write_csv(folder / "per-image.csv", ("name", *metrics.rows[0]), rows)]


def write_masks(folder: Path, metrics: SegmentationMetrics) -> list[Path]:
    """Write per-class.csv, confusion.csv and confusion.png, counted in pixels; return their paths.

    In per-class.csv a value is empty if it is undefined.
    """
    labels, confusion = metrics.labels, metrics.confusion.tolist()
    measures = (values.tolist() for values in (metrics.iou(), metrics.boundary_f()))
    columns = zip(range(len(labels)), labels, map(sum, confusion), *measures, strict=True)
    return [
        _write_csv(folder / "per-class.csv", ("id", "label", "pixels", "iou", "boundary_f"), columns),
        _write_confusion(folder, "label", labels, confusion),
        draw_confusion(folder / "confusion.png", metrics.confusion, labels),
    ]


def _write_confusion(folder: Path, key: str, names: Sequence[str], confusion: Iterable[Iterable[int]]) -> Path:
    rows = ([name, *row] for name, row in zip(names, confusion, strict=True))
    return _write_csv(folder / "confusion.csv", (key, *names), rows)


def _write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> Path:
    # An id may be a folder's name that is not UTF-8; its bytes are escaped, as in the records.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)
    return path


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6f}"
    return value
