"""Segmentation as a task of the training loop: crops of photos and masks, augmentation, losses, validation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from kornia import augmentation as K
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.datasets.masks import ClassTable
from attnimg.errors import UsageError
from attnimg.evaluation.segmentation import SegmentationMetrics
from attnimg.labels import VOID
from attnimg.models.preprocessing import Preprocessing, to_float
from attnimg.nets.segmenter import SegmenterNet, resize
from attnimg.training.cache.photos import Photos
from attnimg.training.recipe import SceneAugmentation, SegmentRecipe

MOST_WEIGHT = 10.0  # relative to the median class; its reciprocal is the least weight
STRIDE = 4  # pixels; the costlier losses are computed on a sample, every fourth pixel of every fourth row


class Supervised(nn.Module):
    """A segmenter with auxiliary logits from its context alone. They speed up training and are not kept."""

    def __init__(self, net: SegmenterNet) -> None:
        super().__init__()
        self.net = net
        self.auxiliary = nn.Conv2d(net.config.backbone.widths[-1], net.config.classes, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the net's logits and those of its context. x: normalized photos N x 3 x H x W."""
        features = self.net.encode(x)
        return self.net.decode(features), self.auxiliary(features[-1])


class Segmentation:
    """Training and validation photos with their masks, H x W x 4 each; the last channel holds class ids and `VOID`.

    UsageError: all pixels of a part are void.
    """

    score = "miou"

    def __init__(
        self, recipe: SegmentRecipe, train: Photos, validation: Photos, table: ClassTable, preprocessing: Preprocessing
    ) -> None:
        self.recipe, self.train, self.validation = recipe, train, validation
        self.table, self.preprocessing = table, preprocessing
        self.examples = len(train) * recipe.crops
        counts = [count_pixels(photos, len(table.classes)) for photos in (train, validation)]
        for part, of_part in zip(("training", "validation"), counts, strict=True):
            if not of_part.any():
                raise UsageError(
                    f"No pixel of the {part} masks belongs to a class. Check the value of void in classes.json."
                )
        self.weights = weigh_classes(counts[0], recipe.balance)
        self.augment = SceneAugment(recipe.augmentation)
        self._padding = np.array([*(round(255 * mean) for mean in preprocessing.mean or (0.5,) * 3), VOID], np.uint8)

    def batch(self, indices: list[int], device: torch.device) -> tuple[Tensor, ...]:
        """Return random windows of examples on the device, each S x S x 4 uint8; S follows from a random scale."""
        low, high = self.recipe.augmentation.scale
        windows = []
        for i in indices:
            scale = low * (high / low) ** float(torch.rand(()))
            window = cut_window(self.train[i % len(self.train)], round(self.recipe.size / scale), self._padding)
            windows.append(torch.from_numpy(window).to(device, non_blocking=True))
        return tuple(windows)

    def loss(self, net: nn.Module, batch: tuple[Tensor, ...], size: int) -> Tensor:
        """Return the mean loss of one augmented batch."""
        recipe = self.recipe
        with torch.no_grad():
            size -= size % 16  # crop sizes grow in smaller steps than 16
            images, masks = self.augment(batch, size, size / recipe.size)
            images = self.preprocessing.normalize(images).contiguous(memory_format=torch.channels_last)
        logits, auxiliary = net(images)
        logits, sparse = resize(logits, (size, size)), masks[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
        loss = self._cross_entropy(logits, masks)
        loss = loss + recipe.auxiliary * self._cross_entropy(resize(auxiliary, sparse.shape[1:]), sparse)
        sample = logits[:, :, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
        return loss + recipe.lovasz * lovasz_softmax(sample.softmax(1), sparse)

    def _cross_entropy(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Return the mean over the pixels that have a class, weighted by class; 0 if there is none."""
        weights = self.weights.to(logits.device)
        losses = F.cross_entropy(logits, masks, weights, ignore_index=VOID, reduction="sum")
        counts = torch.bincount(masks.flatten(), minlength=VOID + 1)[: len(weights)]
        return losses / (counts * weights).sum().clamp(min=torch.finfo(weights.dtype).tiny)

    def header(self) -> dict[str, Any]:
        """Return the values of a header that the predictor reads."""
        return {
            "classes": [vars(c) for c in self.table.classes],
            "preprocessing": self.preprocessing.to_dict(),
            "attention": "backbone.attention",
        }

    def validate(self, net: nn.Module, device: torch.device) -> Iterator[tuple[str, float]]:
        """Yield the measures on whole validation photos at their own size, and the unweighted loss."""
        metrics = SegmentationMetrics([c.label for c in self.table.classes])
        loss, pixels = 0.0, 0
        for i in range(len(self.validation)):
            photo = torch.from_numpy(np.array(self.validation[i])).to(device)[None]
            images, mask = self.preprocessing(photo[..., :3]), photo[..., 3]
            logits = cast(Supervised, net).net(images.contiguous(memory_format=torch.channels_last))
            logits = resize(logits, mask.shape[1:])
            loss += float(F.cross_entropy(logits, mask.long(), ignore_index=VOID, reduction="sum"))
            pixels += int((mask != VOID).sum())
            metrics.update(logits.argmax(1)[0].byte().cpu().numpy(), mask[0].cpu().numpy())
        yield from metrics.results()
        yield "loss", loss / pixels


class SceneAugment(nn.Module):
    """Crops, scales, flips and recolors windows. All randomness comes from torch's global generator."""

    def __init__(self, config: SceneAugmentation) -> None:
        super().__init__()
        color, hue = config.color, config.hue
        self.steps = K.AugmentationSequential(
            K.RandomHorizontalFlip(p=config.flip),
            K.ColorJitter(color, color, color, hue, p=0.8 if color or hue else 0.0),
            data_keys=["input", "mask"],
        )

    def forward(self, windows: tuple[Tensor, ...], size: int, share: float) -> tuple[Tensor, Tensor]:
        """Return images N x 3 x size x size, floats in [0, 1], and masks N x size x size, int64 ids and `VOID`.

        windows: each S x S x 4 uint8. share: of a window's side that a random crop keeps.
        """
        images, masks = [], []
        for window in windows:
            side = round(share * len(window))
            top, left = torch.randint(len(window) - side + 1, (2,)).tolist()
            part = window[None, top : top + side, left : left + side]
            images.append(F.interpolate(to_float(part[..., :3]), (size, size), mode="bilinear", antialias=True))
            masks.append(F.interpolate(part[..., 3][None].float(), (size, size), mode="nearest-exact"))
        image, mask = self.steps(torch.cat(images).clamp(0, 1), torch.cat(masks))
        return image, mask[:, 0].long()


def cut_window(photo: NDArray[np.uint8], side: int, padding: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut a random window, side x side x C, from a photo, H x W x C. padding: C values of pixels outside the photo."""
    window = np.empty((side, side, photo.shape[2]), np.uint8)
    window[:] = padding
    taken, put = [], []
    for length in photo.shape[:2]:
        start = int(torch.randint(abs(length - side) + 1, ()))
        reach = min(length, side)
        taken.append(slice(start, start + reach) if length > side else slice(reach))
        put.append(slice(start, start + reach) if length < side else slice(reach))
    window[put[0], put[1]] = photo[taken[0], taken[1]]
    return window


def count_pixels(photos: Photos, classes: int) -> NDArray[np.int64]:
    """Return how many pixels of each photo belong to each class, photos x classes."""
    masks = (photos[i][..., 3].ravel() for i in range(len(photos)))
    return np.stack([np.bincount(mask, minlength=VOID + 1)[:classes] for mask in masks])


def weigh_classes(counts: NDArray[np.int64], balance: float) -> Tensor:
    """Return the weights of the classes: median frequency / frequency, to the power of `balance`, within `MOST_WEIGHT`.

    counts: as of `count_pixels`. A class's frequency is its share of the pixels of those photos that show it (Eigen and
    Fergus 2015, https://arxiv.org/abs/1411.4734). A class that no photo shows has the weight 1.
    """
    pixels, around = counts.sum(0), ((counts > 0) * counts.sum(1, keepdims=True)).sum(0)
    shown = pixels > 0
    weights = np.ones(len(pixels))
    frequency = pixels[shown] / around[shown]
    weights[shown] = np.clip((np.median(frequency) / frequency) ** balance, 1 / MOST_WEIGHT, MOST_WEIGHT)
    return torch.from_numpy(weights).float()


def lovasz_softmax(probabilities: Tensor, masks: Tensor) -> Tensor:
    """Return the Lovász-softmax loss: the convex extension of 1 - IoU, mean over the classes that the batch shows.

    Berman et al. 2018, https://arxiv.org/abs/1705.08790. probabilities: N x K x H x W. masks: N x H x W; `VOID` pixels
    are ignored (Kornia's loss cannot do that). 0 if all pixels are void.
    """
    known = masks != VOID
    targets, found = masks[known], probabilities.permute(0, 2, 3, 1)[known].t()  # (P,), (K, P)
    shown = torch.bincount(targets).nonzero()[:, 0]
    if not len(shown):
        return probabilities.sum() * 0
    truth = (targets == shown[:, None]).float()  # (shown, P)
    errors, order = (truth - found[shown]).abs().sort(1, descending=True)
    truth = truth.gather(1, order)
    positives = truth.sum(1, keepdim=True)
    # The Jaccard loss of the pixels with the largest errors, for each number of them.
    jaccard = 1 - (positives - truth.cumsum(1)) / (positives + (1 - truth).cumsum(1))
    steps = torch.diff(jaccard, dim=1, prepend=torch.zeros_like(positives))
    loss: Tensor = (errors * steps).sum(1).mean()
    return loss
