"""Augmentation of training images, on the device, by Kornia."""

from __future__ import annotations

import torch
from kornia import augmentation as K
from torch import Tensor, nn

from attnimg.training.recipe import Augmentation

Mix = tuple[Tensor, Tensor]  # class and share of the image that was mixed into each one, both of shape (N,)


class Augment(nn.Module):
    """Changes images at random, scales them, and mixes pairs of them (mixup, cutmix).

    All randomness comes from torch's global generator.
    """

    def __init__(self, config: Augmentation) -> None:
        super().__init__()
        self.config = config
        steps: list[nn.Module] = []
        if config.flip:
            steps.append(K.RandomHorizontalFlip(p=config.flip))
        if config.rotation or config.shift:
            shift = (config.shift, config.shift) if config.shift else None
            steps.append(K.RandomAffine(config.rotation, shift, p=1.0, padding_mode="reflection"))
        if config.color:
            steps.append(K.ColorJitter(config.color, config.color, config.color, p=0.8))
        if config.erase:
            steps.append(K.RandomErasing(p=config.erase))
        self.steps = nn.Sequential(*steps)
        keys = ["input", "class"]
        self.mixup = K.RandomMixUpV2(data_keys=keys)
        self.cutmix = K.RandomCutMixV2(use_correct_lambda=True, data_keys=keys)

    def forward(self, images: Tensor, classes: Tensor, size: int) -> tuple[Tensor, Mix | None]:
        """Return images N x 3 x size x size, and the `Mix`, or None if nothing was mixed.

        images: N x 3 x S x S, float in [0, 1]. classes: N indices.
        """
        if self.config.crop < 1:
            images = K.RandomResizedCrop((size, size), (self.config.crop, 1.0), cropping_mode="slice")(images)
        elif size != images.shape[-1]:
            images = nn.functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
        images = self.steps(images)
        draw = float(torch.rand(()))
        if draw < self.config.mixup:
            images, mixed = self.mixup(images, classes)
        elif draw < self.config.mixup + self.config.cutmix:
            images, mixed = self.cutmix(images, classes)
            mixed[..., 2] = 1 - mixed[..., 2]  # Kornia gives the share of the own class; of the other one in mixup
        else:
            return images, None
        mixed = mixed.reshape(-1, 3)
        return images, (mixed[:, 1].long(), mixed[:, 2])
