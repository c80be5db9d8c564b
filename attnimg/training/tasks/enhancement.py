"""Enhancement as a task of the training loop: crops, thumbnails, augmentation, losses, validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, cast

import cv2
import numpy as np
import torch
from kornia.losses import ssim_loss
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.errors import UsageError
from attnimg.evaluation.enhancement import EnhancementMetrics
from attnimg.models.preprocessing import Preprocessing, to_float
from attnimg.nets.enhancer.exposure import ExposureEstimate, brighten
from attnimg.nets.enhancer.exposure_prior import cross_entropy, find_shift
from attnimg.nets.enhancer.net import MULTIPLE, EnhancerNet
from attnimg.predictors.enhance import Enhancer
from attnimg.predictors.exposure import make_thumbnail
from attnimg.training.cache.photos import Photos
from attnimg.training.low_light import simulate_low_light
from attnimg.training.recipe import EnhanceRecipe

EPSILON = 1e-3  # of the Charbonnier loss: quadratic below a quarter of an 8-bit step
FLOOR = 3e-4  # mean squared error, 35 dB; lower errors count little
BRIGHTNESS_GRID = 16  # cells along a side in which the brightness of the whole photo is compared


class Kind(IntEnum):
    """Kind of a training example: input and target."""

    PAIR = 0  # low light; normal light
    BRIGHT = 1  # normal light; the same
    SYNTHETIC = 2  # normal light, darkened; normal light


@dataclass(frozen=True)
class PhotoPairs:
    """Decoded photos. partner: for each photo in normal light the index of its low-light photo, or None."""

    low: Photos
    normal: Photos
    partner: Sequence[int | None]


class Enhancement:
    """Training and validation pairs. UsageError: a photo is smaller than the crops."""

    def __init__(self, recipe: EnhanceRecipe, train: PhotoPairs, validation: PhotoPairs) -> None:
        self.recipe, self.train, self.validation = recipe, train, validation
        self.examples = len(train.normal) * recipe.crops
        # PSNR depends mostly on the brightness of a few scenes, and fluctuates from epoch to epoch.
        self.score = "ssim" if "restore" in recipe.trainable else "psnr"
        smallest = min(min(size) for size in train.normal.sizes)
        if smallest < recipe.size:
            raise UsageError(f"A photo has a side of {smallest} pixels, and crops have {recipe.size}. Lower --size.")

    def batch(self, indices: list[int], device: torch.device) -> tuple[Tensor, ...]:
        """Return random crops, their boxes, and thumbnails of whole photos, on the device.

        given, wanted: N x S x S x 3 uint8. boxes: N x 4. given_whole: M x T x T x 6 float in [0, 1], see
        `make_thumbnail`. wanted_whole: M x G x G x 3 uint8, G = `BRIGHTNESS_GRID`. kinds: M. The first N belong to the
        crops; M is N (1 + exposure_only_samples), or N if only `restore` is trained.
        """
        photos = len(self.train.normal)
        extra = self.recipe.exposure_only_samples if {"exposure", "prior"} & set(self.recipe.trainable) else 0
        others = torch.randint(photos, (extra * len(indices),)).tolist()
        drawn = [self._draw(i % photos, device) for i in indices + others]
        crops = [self._crop(given, wanted) for given, wanted, _ in drawn[: len(indices)]]
        given_wholes = [make_thumbnail(given, self.recipe.net.thumbnail) for given, *_ in drawn]
        wanted_wholes = [
            cv2.resize(w, (BRIGHTNESS_GRID, BRIGHTNESS_GRID), interpolation=cv2.INTER_AREA) for _, w, _ in drawn
        ]
        parts = [*zip(*crops, strict=True), given_wholes, wanted_wholes, [kind for *_, kind in drawn]]
        return tuple(torch.from_numpy(np.stack(part)).to(device, non_blocking=True) for part in parts)

    def _draw(self, i: int, device: torch.device) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Kind]:
        """Draw a part of photo i that serves as a whole photo: input, target and kind."""
        recipe, partner = self.recipe, self.train.partner[i]
        draw = float(torch.rand(()))
        window = self._draw_window(self.train.normal.sizes[i])
        wanted = self.train.normal[i][window]
        if draw < recipe.identity_share:
            return wanted, wanted, Kind.BRIGHT
        if partner is None or draw < recipe.identity_share + recipe.synthetic_share:
            return self._darken(wanted, device), wanted, Kind.SYNTHETIC
        return self.train.low[partner][window], wanted, Kind.PAIR

    def _crop(self, given: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> tuple[NDArray[np.generic], ...]:
        size, (height, width) = self.recipe.size, wanted.shape[:2]
        top, left = (int(torch.randint(side - size + 1, ())) for side in (height, width))
        crop = slice(top, top + size), slice(left, left + size)
        box = np.array([top / height, left / width, (top + size) / height, (left + size) / width], np.float32)
        return given[crop], wanted[crop], box

    def _draw_window(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Draw the part of a photo that serves as a whole one: there are few photos."""
        share = float(self.recipe.min_crop_share + (1 - self.recipe.min_crop_share) * torch.rand(()))
        sides = [max(self.recipe.size, round(share * side)) for side in size]
        starts = [int(torch.randint(side - part + 1, ())) for side, part in zip(size, sides, strict=True)]
        rows, columns = (slice(start, start + part) for start, part in zip(starts, sides, strict=True))
        return rows, columns

    def _darken(self, photo: NDArray[np.uint8], device: torch.device) -> NDArray[np.uint8]:
        dark = simulate_low_light(to_float(torch.from_numpy(photo.copy())[None].to(device)), self.recipe.low_light)
        return dark[0].mul(255).round().byte().permute(1, 2, 0).cpu().numpy()

    def loss(self, net: nn.Module, batch: tuple[Tensor, ...], size: int) -> Tensor:
        """Return the mean loss of one augmented batch, summed over the trained branches.

        exposure: error of the whole photos' brightness. prior: cross-entropy of the exposure. restore: Charbonnier,
        1 - SSIM, and the logarithm of the squared error, of the crops.
        """
        recipe = self.recipe
        with torch.no_grad():
            size -= size % MULTIPLE  # crop sizes grow in smaller steps than the net accepts
            x, wanted, whole, wanted_whole, box = self._augment(batch, size)
        cast(EnhancerNet, net).exposure.train(
            "exposure" in recipe.trainable
        )  # frozen branches keep their batch statistics
        exposure = wanted_whole.mean((1, 2, 3), keepdim=True)
        y, estimate, log_prior = net(x, whole, box, exposure[: len(x)])
        loss = torch.zeros((), device=x.device)
        if "exposure" in recipe.trainable:
            loss = loss + recipe.exposure_loss_weight * self._exposure_loss(estimate, whole[:, :3], wanted_whole)
        if "prior" in recipe.trainable:
            loss = loss + recipe.prior_loss_weight * cross_entropy(log_prior, find_shift(whole[:, :3], exposure))
        if "restore" in recipe.trainable:  # Kornia's SSIM loss is (1 - SSIM) / 2
            loss = loss + charbonnier(y, wanted) + recipe.ssim * 2 * ssim_loss(y.clamp(0, 1), wanted, 11)
            loss = loss + recipe.psnr * log_error(y, wanted)
        return loss

    def _augment(self, batch: tuple[Tensor, ...], size: int) -> tuple[Tensor, ...]:
        given, wanted, box, given_whole, wanted_whole, kinds = batch
        photos = [to_float(pixels[:, :size, :size]) for pixels in (given, wanted)]
        photos += [given_whole.permute(0, 3, 1, 2), to_float(wanted_whole)]
        box = torch.cat([box[:, :2], box[:, :2] + (box[:, 2:] - box[:, :2]) * size / self.recipe.size], 1)
        draws = 2 * torch.rand(len(kinds), 4, device=kinds.device) - 1
        stops = self.recipe.exposure_jitter * draws[:, :1] + self.recipe.cast_jitter * draws[:, 1:]
        light = torch.where(kinds[:, None] == Kind.PAIR, stops, 0).exp2()[..., None, None]  # (M, 3, 1, 1)
        photos[0] = (photos[0] * light[: len(photos[0])]).clamp(0, 1)
        photos[2] = (photos[2] * light.repeat(1, 2, 1, 1)).clamp(0, 1)  # the colors, and their grain
        for axis, (begin, end) in {3: (1, 3), 2: (0, 2)}.items():
            if torch.rand(()) < 0.5:
                photos, box = [part.flip(axis) for part in photos], box.clone()
                box[:, [begin, end]] = 1 - box[:, [end, begin]]
        if torch.rand(()) < 0.5:
            photos, box = [part.transpose(2, 3) for part in photos], box[:, [1, 0, 3, 2]]
        return *(part.contiguous(memory_format=torch.channels_last) for part in photos), box

    @staticmethod
    def _exposure_loss(estimate: ExposureEstimate, whole: Tensor, wanted: Tensor) -> Tensor:
        """Return the brightness error of whole photos before restoration, cell by cell; crops do not show it."""
        gain = F.interpolate(estimate.log_gain, whole.shape[2:], mode="bilinear").exp()
        return log_error(F.adaptive_avg_pool2d(brighten(whole, gain), BRIGHTNESS_GRID), wanted)

    def header(self) -> dict[str, Any]:
        """Return the values of a header that the predictor reads."""
        preprocessing = Preprocessing("squeeze", self.recipe.net.thumbnail)
        return {"preprocessing": preprocessing.to_dict(), "attention": "exposure.attention"}

    def validate(self, net: nn.Module, device: torch.device) -> Iterator[tuple[str, float]]:
        """Yield the measures on whole validation photos, enhanced as by the command."""
        predictor = Enhancer(cast(EnhancerNet, net), self.header(), model="", device=str(device))
        metrics, losses = EnhancementMetrics(), []
        for i, partner in enumerate(self.validation.partner):
            truth = self.validation.normal[i]
            if partner is None:
                torch.manual_seed(i)  # the same darkness in every epoch, another for each photo
            low = self._darken(truth, device) if partner is None else self.validation.low[partner]
            output = predictor(low)
            metrics.update(output, truth)
            losses.append(float(charbonnier(*(torch.from_numpy(p / np.float32(255)) for p in (output, truth)))))
        yield from metrics.results()
        yield "loss", sum(losses) / len(losses)


def charbonnier(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean of sqrt((x - y)^2 + eps^2), a smooth L1 (Charbonnier et al. 1994)."""
    return ((x - y).square() + EPSILON**2).sqrt().mean()


def log_error(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean over photos of lg(1 + MSE / floor) / 10: above the floor, a hundredth for each dB of PSNR.

    The intended brightness of a scene is uncertain. This loss prefers small errors on most photos to medium errors on
    all. Chen et al. 2021 use a similar one for PSNR, https://arxiv.org/abs/2105.06086.
    """
    error = (x - y).square().mean((1, 2, 3))
    return (1 + error / FLOOR).log10().mean() / 10
