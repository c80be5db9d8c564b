"""Put a trained weight file into weights/ with all that its model card must say, and generate cards and manifest.

python scripts/ship_weights.py RUN/objects-cpu.safetensors scripts/objects.toml --metrics val/metrics.json

The TOML file holds what no run knows: the model's name, the data's source and terms, the limits, and figures that were
measured otherwise, each with its command. metrics.json is what `attnimg evaluate ... -o val` wrote. A model that is
worse than the one shipped, by the same measure, is refused.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from attnimg.models import checkpoints
from attnimg.models.build import build_net
from attnimg.models.cards import write_cards

WEIGHTS = Path(__file__).parent.parent / "weights"
FIGURES = {
    "classify": ("top1", "top5", "loss", "ece"),
    "segment": ("miou", "pixel_accuracy", "boundary_f"),
    "enhance": ("psnr", "ssim", "brightness_error"),
}
"""What a card says of a model, by its task; the first decides which of two is better."""


def main() -> None:
    """Write the weight file and its card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("facts", type=Path)
    parser.add_argument("--metrics", type=Path, required=True)
    args = parser.parse_args()
    facts = tomllib.loads(args.facts.read_text())
    metrics = json.loads(args.metrics.read_text())
    header, tensors = checkpoints.read(args.run)

    if metrics["sha256"] != checkpoints.sha256(args.run):
        sys.exit(f"{args.metrics} measures another file than {args.run}; evaluate that one")
    measured = facts["measured"]
    names = FIGURES[header["task"]]
    figures = [{"name": n, "value": round(metrics[n], 4), **measured} for n in names]
    header["figures"] = figures + facts.get("figures", [])
    header["training"] |= facts["training"]
    header["limits"] = facts["limits"]
    header["gmac"] = round(count_gmac(header), 3)
    target = WEIGHTS / f"{facts['name']}.safetensors"
    if target.is_file():
        shipped = checkpoints.read_header(target)["figures"]
        same = [f["value"] for f in shipped if f["name"] == names[0] and f.get("command") == measured["command"]]
        if same and metrics[names[0]] <= same[0]:
            sys.exit(f"{args.run} reaches {metrics[names[0]]:.4f}, the shipped file {same[0]:.4f}; nothing was changed")
    checkpoints.write(target, header, checkpoints.halve(tensors))
    for path in write_cards(WEIGHTS):
        sys.stdout.write(f"{path}\n")


def count_gmac(header: dict[str, Any]) -> float:
    """Return the multiply-accumulates, in billions: of a view to classify, a 4:3 photo to segment, a megapixel."""
    size = header["preprocessing"]["size"]
    net = build_net(header["architecture"]).eval()
    inputs = [torch.zeros(1, 3, size, size * 4 // 3 if header["task"] == "segment" else size)]
    if header["task"] == "enhance":
        whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        inputs = [torch.zeros(1, 3, 1024, 1024), torch.zeros(1, 6, size, size), whole, torch.tensor(0.5)]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(*inputs)
    pixels = inputs[0][0, 0].numel() / 1e6 if header["task"] == "enhance" else 1
    return counter.get_total_flops() / 2e9 / pixels


if __name__ == "__main__":
    main()
