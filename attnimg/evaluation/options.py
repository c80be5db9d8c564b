"""The options of `attnimg evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from attnimg.models.registry import TASKS
from attnimg.options.common import ComputeOptions, DeviceOptions, Model, Views
from attnimg.options.option import Option


@dataclass(frozen=True)
class ClassifyEvaluation:
    """Measure a classifier: top-1, top-5, precision, recall, and the calibration of its scores.

    Measures DATA/val if it exists. Otherwise, if the model was trained on DATA, the images that training held out;
    else all of DATA. All values but the loss (in nats) are fractions between 0 and 1.
    """

    data: Annotated[Path, Option(positional=True, metavar="DATA", help="Folder with a folder per class id.")]
    compute: ComputeOptions
    model: Model = TASKS["classify"].model
    views: Views = 1


@dataclass(frozen=True)
class EnhanceEvaluation:
    """Measure an enhancer: PSNR in dB, SSIM, and the error of the mean brightness, between 0 and 1.

    Measures DATA/val if it exists. Nothing is matched to the truth's brightness. Photos without low/ and normal/ are
    scored before and after by PIQE, 0 (best) to 100, which measures noise, not brightness.
    """

    data: Annotated[
        Path,
        Option(positional=True, metavar="DATA", help="Folder with low/ and normal/, paired by name; or any photos."),
    ]
    compute: DeviceOptions
    model: Model = TASKS["enhance"].model


@dataclass(frozen=True)
class SegmentEvaluation:
    """Measure a segmenter: mean IoU, pixel accuracy, boundary F-score, and the IoU of each class.

    Measures DATA/val if it exists. All values are fractions between 0 and 1; means are over the classes that occur. An
    outline may be off by 0.75 % of the photo's diagonal. Void pixels are ignored.
    """

    data: Annotated[
        Path,
        Option(
            positional=True, metavar="DATA", help="Folder with images/ and masks/, paired by name, and classes.json."
        ),
    ]
    compute: DeviceOptions
    model: Model = TASKS["segment"].model
