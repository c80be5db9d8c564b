"""The files that an evaluation leaves: tables for programs, pictures for people."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attnimg.evaluation.classification import ClassificationMetrics
from attnimg.evaluation.enhancement import PhotoMetrics
from attnimg.evaluation.plots import draw_confusion, draw_reliability
from attnimg.evaluation.segmentation import SegmentationMetrics


def write_report(folder: Path, metrics: ClassificationMetrics, classes: Mapping[str, str], **about: str) -> list[Path]:
    """Write metrics.json, per-class.csv, confusion.csv, confusion.png and calibration.png; return their paths.

    folder: made when it is not there; files of these names are replaced. classes: id to label, in the order of the
    class indices. about: further keys of metrics.json. CSV is UTF-8 with a header row. In per-class.csv a value is
    empty where none exists: the precision of a class that was never predicted, the recall of one without images.
    ValueError: no images were seen, or the loss is no number. Unavailable: matplotlib is missing; the tables are
    written all the same.
    """
    ids = list(classes)
    confusion = metrics.confusion.tolist()
    columns = zip(ids, classes.values(), map(sum, confusion), *(v.tolist() for v in metrics.per_class()), strict=True)
    paths = [_write_metrics(folder, metrics, about)]
    header = ("id", "label", "images", "precision", "recall")
    paths.append(_write_csv(folder / "per-class.csv", header, columns))
    rows = ([id_, *row] for id_, row in zip(ids, confusion, strict=True))
    paths.append(_write_csv(folder / "confusion.csv", ("id", *ids), rows))
    paths.append(draw_confusion(folder / "confusion.png", metrics.confusion, list(classes.values())))
    paths.append(draw_reliability(folder / "calibration.png", metrics.reliability))
    return paths


def write_photo_report(folder: Path, metrics: PhotoMetrics, names: Sequence[str], **about: str) -> list[Path]:
    """Write metrics.json and per-image.csv, a row of scores for each of `names`; return their paths.

    folder, about: as for `write_report`. ValueError: no photos were seen.
    """
    path = _write_metrics(folder, metrics, about)
    rows = ([name, *row.values()] for name, row in zip(names, metrics.rows, strict=True))
    return [path, _write_csv(folder / "per-image.csv", ("name", *metrics.rows[0]), rows)]


def write_mask_report(folder: Path, metrics: SegmentationMetrics, **about: str) -> list[Path]:
    """Write metrics.json, per-class.csv, confusion.csv and confusion.png, which count pixels; return their paths.

    folder, about: as for `write_report`. In per-class.csv a value is empty where none exists. ValueError: no pixels
    were judged. Unavailable: matplotlib is missing; the tables are written all the same.
    """
    confusion = metrics.confusion.tolist()
    measures = (values.tolist() for values in (metrics.iou(), metrics.boundary_f()))
    columns = zip(range(len(confusion)), metrics.labels, map(sum, confusion), *measures, strict=True)
    header = ("id", "label", "pixels", "iou", "boundary_f")
    rows = ([label, *row] for label, row in zip(metrics.labels, confusion, strict=True))
    return [
        _write_metrics(folder, metrics, about),
        _write_csv(folder / "per-class.csv", header, columns),
        _write_csv(folder / "confusion.csv", ("label", *metrics.labels), rows),
        draw_confusion(folder / "confusion.png", metrics.confusion, metrics.labels),
    ]


def _write_metrics(
    folder: Path, metrics: ClassificationMetrics | PhotoMetrics | SegmentationMetrics, about: Mapping[str, str]
) -> Path:
    text = json.dumps({**about, "images": metrics.images, **dict(metrics.results())}, indent=2, allow_nan=False)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "metrics.json"
    path.write_text(text + "\n", encoding="ascii")
    return path


def _write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> Path:
    # An id may be a folder's name that is not UTF-8; its bytes are shown escaped, as in the records.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)
    return path


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6f}"
    return value
