"""Enhancement as the loop sees it: crops beside the whole photo, mixed exposures, losses, validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, cast

import numpy as np
import torch
from kornia.losses import ssim_loss
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.errors import UsageError
from attnimg.evaluation.enhancement import EnhancementMetrics
from attnimg.nets.enhancer import Enhancer as Net
from attnimg.nets.enhancer import Seen, brighten
from attnimg.tasks.enhance import Enhancer, shrink
from attnimg.tasks.preprocessing import to_float
from attnimg.training.darkness import Night
from attnimg.training.photos import Photos
from attnimg.training.recipe import EnhanceRecipe

EPSILON = 1e-3  # of Charbonnier's loss: below a quarter of an 8-bit step it is a square
GLANCE = 16  # cells along a side, in which the brightness of the whole photo is compared


class Kind(IntEnum):
    """What the net is given, and what it is to make of it."""

    PAIR = 0  # the photo in low light; that in normal light
    BRIGHT = 1  # the photo in normal light; the same
    SYNTHETIC = 2  # the photo in normal light, darkened; the photo as it was


@dataclass(frozen=True)
class PhotoPairs:
    """Decoded pairs. partner: for each photo in normal light the index of that in low light, or None."""

    low: Photos
    normal: Photos
    partner: Sequence[int | None]


class Enhancement:
    """Training and validation pairs, as the loop's task.

    UsageError: partners differ in size, or a photo is smaller than
    the crops.
    """

    score = "psnr"

    def __init__(self, recipe: EnhanceRecipe, train: PhotoPairs, validation: PhotoPairs) -> None:
        self.recipe, self.train, self.validation = recipe, train, validation
        self.examples = len(train.normal) * recipe.crops
        for pairs in (train, validation):
            for i, j in enumerate(pairs.partner):
                if j is not None and pairs.low.sizes[j] != pairs.normal.sizes[i]:
                    raise UsageError(
                        f"Pair {i + 1} of {len(pairs.partner)} differs in size. Scale or crop its photos alike."
                    )
        smallest = min(min(size) for size in train.normal.sizes)
        if smallest < recipe.size:
            raise UsageError(f"A photo has a side of {smallest} pixels, and crops have {recipe.size}. Lower --size.")

    def batch(self, indices: list[int], device: torch.device) -> tuple[Tensor, ...]:
        """Return random crops, squeezed wholes, places and kinds of examples, on the device.

        given, wanted: N x S x S x 3 uint8. given_whole, wanted_whole: N x T x T x 3 float in [0, 1]. boxes: N x 4,
        where the crops lie. kinds: N.
        """
        parts = zip(*(self._example(i % len(self.train.normal)) for i in indices), strict=True)
        return tuple(torch.from_numpy(np.stack(part)).to(device, non_blocking=True) for part in parts)

    def _example(self, i: int) -> tuple[NDArray[np.generic], ...]:
        recipe, partner = self.recipe, self.train.partner[i]
        wanted = self.train.normal[i]
        zoom = self._draw_window(wanted.shape)
        draw = float(torch.rand(()))
        kind = Kind.PAIR
        if draw < recipe.bright:
            kind = Kind.BRIGHT
        elif partner is None or draw < recipe.bright + recipe.synthetic:
            kind = Kind.SYNTHETIC
        given = self.train.low[partner] if kind == Kind.PAIR and partner is not None else wanted
        given, wanted = given[zoom], wanted[zoom]
        height, width = wanted.shape[:2]
        top, left = (int(torch.randint(side - recipe.size + 1, ())) for side in (height, width))
        crop = slice(top, top + recipe.size), slice(left, left + recipe.size)
        box = np.array([top / height, left / width, crop[0].stop / height, crop[1].stop / width], np.float32)
        wholes = (shrink(photo, recipe.net.thumbnail) for photo in (given, wanted))
        return given[crop], wanted[crop], *wholes, box, np.array(kind)

    def _draw_window(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Draw the part of a photo that is to be taken for a whole one: there are so few whole ones to judge."""
        share = float(self.recipe.window + (1 - self.recipe.window) * torch.rand(()))
        sides = [max(self.recipe.size, round(share * side)) for side in shape[:2]]
        starts = [int(torch.randint(side - part + 1, ())) for side, part in zip(shape, sides, strict=False)]
        rows, columns = (slice(start, start + part) for start, part in zip(starts, sides, strict=True))
        return rows, columns

    def loss(self, net: nn.Module, batch: tuple[Tensor, ...], size: int) -> Tensor:
        """Return the mean loss of one augmented batch: Charbonnier and 1 - SSIM of the crops, and of the whole."""
        recipe = self.recipe
        with torch.no_grad():
            x, wanted, whole, wanted_whole, box = self._augment(batch, size)
        y, seen = net(x, whole, box)
        loss = charbonnier(y, wanted) + recipe.glance * self._glance(seen, whole, wanted_whole)
        return loss + recipe.ssim * 2 * ssim_loss(y.clamp(0, 1), wanted, 11)  # Kornia's is (1 - SSIM) / 2

    def _augment(self, batch: tuple[Tensor, ...], size: int) -> tuple[Tensor, ...]:
        given, wanted = (to_float(pixels[:, :size, :size]) for pixels in batch[:2])
        whole, wanted_whole = (part.permute(0, 3, 1, 2) for part in batch[2:4])
        box, kinds = batch[4], batch[5][:, None, None, None]
        box = torch.cat([box[:, :2], box[:, :2] + (box[:, 2:] - box[:, :2]) * size / self.recipe.size], 1)
        night = Night(self.recipe.darkness, len(box), box.device)
        stops = self.recipe.exposure * (2 * torch.rand(len(box), 1, 1, 1, device=box.device) - 1)

        def light(photos: Tensor, noise: bool) -> Tensor:
            synthetic = torch.where(kinds == Kind.SYNTHETIC, night.darken(photos, noise), photos)
            return torch.where(kinds == Kind.PAIR, (photos * stops.exp2()).clamp(0, 1), synthetic)

        photos = [light(given, True), wanted, light(whole, False), wanted_whole]
        for axis in (3, 2):
            if torch.rand(()) < 0.5:
                photos = [part.flip(axis) for part in photos]
                first, second = (0, 2) if axis == 2 else (1, 3)
                box = box.clone()
                box[:, [first, second]] = 1 - box[:, [second, first]]
        if torch.rand(()) < 0.5:
            photos, box = [part.transpose(2, 3) for part in photos], box[:, [1, 0, 3, 2]]
        return *(part.contiguous(memory_format=torch.channels_last) for part in photos), box

    @staticmethod
    def _glance(seen: Seen, whole: Tensor, wanted: Tensor) -> Tensor:
        """Compare the whole photo's brightness, before it is restored, cell by cell: crops never show it."""
        gain = F.interpolate(seen.log_gain, whole.shape[2:], mode="bilinear").exp()
        return charbonnier(*(F.adaptive_avg_pool2d(part, GLANCE) for part in (brighten(whole, gain), wanted)))

    def header(self) -> dict[str, Any]:
        """Return what a weight file's header says for the predictor."""
        preprocessing = {"size": self.recipe.net.thumbnail, "fit": "the whole photo, squeezed into a square"}
        return {"preprocessing": preprocessing, "attention": "look.attention"}

    def validate(self, net: nn.Module, device: torch.device) -> Iterator[tuple[str, float]]:
        """Yield the measures on whole validation photos, as the tool would enhance them."""
        predictor = Enhancer(cast(Net, net), self.header(), model="").to(str(device))
        metrics, losses = EnhancementMetrics(), []
        for i, partner in enumerate(self.validation.partner):
            if partner is not None:
                output, truth = predictor(self.validation.low[partner]), self.validation.normal[i]
                metrics.update(output, truth)
                losses.append(
                    float(charbonnier(*(torch.from_numpy(p.astype(np.float32) / 255) for p in (output, truth))))
                )
        yield from metrics.results()
        yield "loss", sum(losses) / len(losses)


def charbonnier(x: Tensor, y: Tensor) -> Tensor:
    """Mean of sqrt((x - y)^2 + eps^2), a smooth L1 (Charbonnier et al. 1994)."""
    return ((x - y).square() + EPSILON**2).sqrt().mean()
