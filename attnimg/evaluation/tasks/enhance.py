"""Measurement of enhancers, with the same preprocessing and prediction as on the user's photos."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from attnimg.datasets.pairs import find_pairs
from attnimg.datasets.reading import find_photos, read_all, read_photo
from attnimg.errors import UsageError
from attnimg.evaluation.enhancement import EnhancementMetrics, NoReferenceMetrics
from attnimg.evaluation.options import EnhanceEvaluation
from attnimg.evaluation.report import Evaluation, write_photos
from attnimg.evaluation.tasks.parts import Watch, measured_part
from attnimg.images.pixels import Pixels
from attnimg.predictors.enhance import Enhancer, load_enhancer


def measure(options: EnhanceEvaluation, watch: Watch) -> Evaluation:
    """Measure the model of the options."""
    compute = options.compute
    enhancer = load_enhancer(options.model, device=compute.device, precision=compute.precision)
    return evaluate_enhancer(enhancer, options.data, workers=compute.threads, watch=watch)


def evaluate_enhancer(
    enhancer: Enhancer, data: Path, *, workers: int = 2, watch: Watch = lambda done, total: None
) -> Evaluation:
    """Enhance the photos of DATA/val (or of DATA, if it has no val/) and score each.

    With low/ and normal/ the photos in low light are enhanced and compared with their partners; without either, all
    photos are scored before and after. Alpha is ignored. watch: as of `evaluate_classifier`. UsageError: photos cannot
    be read, have no partner, or differ from it in size; the message names them. NoImages: there are none. Unavailable:
    as of `NoReferenceMetrics`.
    """
    root = measured_part(data)
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


def _read_pair(pair: tuple[str, str]) -> tuple[Pixels, Pixels]:
    low, normal = (read_photo(file).pixels for file in pair)
    if low.shape != normal.shape:
        sizes = [f"{width} x {height}" for height, width, _ in (low.shape, normal.shape)]
        raise UsageError(f"{pair[0]} has {sizes[0]} pixels, but {pair[1]} {sizes[1]}.")
    return low, normal
