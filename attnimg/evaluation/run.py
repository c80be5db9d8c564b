"""Measure a model on a data set, by the very code that users' photos go through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from attnimg.datasets.classes import ClassName, Examples, class_root, find_examples, split
from attnimg.datasets.masks import find_masked, read_class_table, read_masked
from attnimg.datasets.pairs import find_pairs
from attnimg.datasets.reading import HELD_OUT, find_photos, read_all, read_photo
from attnimg.errors import UsageError
from attnimg.evaluation.classification import ClassificationMetrics
from attnimg.evaluation.enhancement import EnhancementMetrics, NoReferenceMetrics
from attnimg.evaluation.report import Evaluation, write_classes, write_masks, write_photos
from attnimg.evaluation.segmentation import SegmentationMetrics
from attnimg.images.masks import Mask
from attnimg.images.picture import Pixels
from attnimg.tasks.classify import Classifier, Prepared
from attnimg.tasks.enhance import Enhancer
from attnimg.tasks.segment import Prepared as PreparedPhoto
from attnimg.tasks.segment import Segmenter

Watch = Callable[[int, int], None]


def evaluate_classifier(
    classifier: Classifier,
    data: Path,
    *,
    training: object = None,
    batch_size: int = 64,
    workers: int = 2,
    watch: Watch = lambda done, total: None,
) -> Evaluation:
    """Classify DATA/val, temperature included; or, without it, what training on DATA held out, or all of DATA.

    Class folders are named by the ids of the model's classes. training: what the model's header says of it, by which
    what was held out is known again. watch: is told how many images of how many are done.
    UsageError: a folder is none of them, or images cannot be read, for a measure over the rest would not be the data
    set's; all of them are looked at, and named.
    """
    examples, on = _find_examples(data, classifier.classes, training)
    metrics = ClassificationMetrics(len(classifier.classes))

    def prepare(file: str) -> Prepared:
        return classifier.prepare(read_photo(file, shortest=classifier.shortest).on_white())

    prepared = read_all(examples.files, prepare, workers=workers)
    while batch := list(islice(prepared, batch_size)):
        probabilities = torch.stack([torch.from_numpy(s.probabilities) for s in classifier.predict(batch)])
        targets = torch.tensor(examples.classes[metrics.images : metrics.images + len(batch)])
        metrics.update(probabilities.clamp(min=torch.finfo(torch.float32).tiny).log(), targets)
        watch(metrics.images, len(examples))
    labels = {c.id: c.label for c in classifier.classes}
    return Evaluation(metrics, on, partial(write_classes, metrics=metrics, classes=labels))


def evaluate_enhancer(
    enhancer: Enhancer, data: Path, *, workers: int = 2, watch: Watch = lambda done, total: None
) -> Evaluation:
    """Enhance the photos of DATA/val (or DATA itself, without one) and score each.

    With low/ and normal/ the photos in low light are enhanced and compared with their partners; without either, all
    photos below are scored before and after. Alpha is left out of account. watch: as for the classifier.
    UsageError: photos cannot be read, have no partner, or not its size; the unreadable and misfits are all looked at,
    and named. NoImages: there are none. Unavailable: see `NoReferenceMetrics`.
    """
    root = _measured_part(data)
    metrics: EnhancementMetrics | NoReferenceMetrics
    if (root / "low").is_dir() or (root / "normal").is_dir():
        found = find_pairs(root)
        pairs = [(low, normal) for low, normal in zip(found.low, found.normal, strict=True) if low is not None]
        root, files, metrics = root / "low", tuple(low for low, _ in pairs), EnhancementMetrics()
        for photo, truth in read_all(pairs, _read_pair, workers=workers):
            metrics.update(enhancer(photo), truth)
            watch(metrics.images, len(files))
    else:
        files, metrics = find_photos(root), NoReferenceMetrics()
        for photo in read_all(files, lambda file: read_photo(file).pixels, workers=workers):
            metrics.update(photo, enhancer(photo))
            watch(metrics.images, len(files))
    names = [str(Path(file).relative_to(root)) for file in files]
    return Evaluation(metrics, f"all photos of {root}", partial(write_photos, metrics=metrics, names=names))


def evaluate_segmenter(
    segmenter: Segmenter, data: Path, *, workers: int = 2, watch: Watch = lambda done, total: None
) -> Evaluation:
    """Segment the photos of DATA/val (or DATA itself, without one) and compare them with their masks.

    watch: as for the classifier. UsageError: the classes are not the model's, or files cannot be used; these are all
    looked at, and named.
    """
    part, table = _measured_part(data), read_class_table(data)
    ours, theirs = ([c.label for c in classes] for classes in (segmenter.classes, table.classes))
    if ours != theirs:
        raise UsageError(f"The data set's classes are {', '.join(theirs)}; the model has {', '.join(ours)}.")
    examples = find_masked(part)
    metrics = SegmentationMetrics(ours, outlines=True)

    def prepare(files: tuple[str, str]) -> tuple[PreparedPhoto, Mask]:
        photo, mask = read_masked(files, table)
        return segmenter.prepare(photo), mask

    for prepared, truth in read_all(examples, prepare, workers=workers):
        metrics.update(segmenter.predict([prepared])[0].mask, truth)
        watch(metrics.images, len(examples))
    return Evaluation(metrics, f"all photos of {part}", partial(write_masks, metrics=metrics))


def _find_examples(data: Path, classes: Sequence[ClassName], training: object) -> tuple[Examples, str]:
    """Return the images to classify, and which they are, in words."""
    if not (data / "val").is_dir() and (held_out := _find_held_out(data, classes, training)):
        return held_out, f"the images of {data} that training held out"
    root = _measured_part(data)
    return find_examples(root, classes, all_classes=False), f"all images of {root}"


def _find_held_out(data: Path, classes: Sequence[ClassName], training: object) -> Examples | None:
    """Split DATA as training did; None where its count of images tells that it was done on others, or otherwise."""
    match training:
        case {"seed": int(seed), "images": int(images)}:
            try:
                rest, held_out = split(find_examples(class_root(data), classes), HELD_OUT, seed)
            except UsageError:  # training cannot have been done on these
                return None
            return held_out if len(rest) == images else None
    return None


def _read_pair(pair: tuple[str, str]) -> tuple[Pixels, Pixels]:
    low, normal = (read_photo(file).pixels for file in pair)
    if low.shape != normal.shape:
        sizes = [f"{width} x {height}" for height, width, _ in (low.shape, normal.shape)]
        raise UsageError(f"{pair[0]} has {sizes[0]} pixels, but {pair[1]} {sizes[1]}.")
    return low, normal


def _measured_part(data: Path) -> Path:
    if not data.is_dir():
        raise UsageError(f"{data} is not a folder; give the one that holds the data set.")
    if (data / "val").is_dir():
        return data / "val"
    if (data / "train").is_dir():
        raise UsageError(f"{data} has no val/; name the folder to measure on, such as {data / 'train'}.")
    return data
