"""Put a trained weight file into weights/ with all the facts of its model card, and generate cards and manifest.

python scripts/ship_weights.py RUN/objects-cpu.safetensors scripts/objects.toml --metrics val/metrics.json

The TOML file holds the facts that no run knows: the model's name, the data's source and terms, the limits, and figures
that were measured in other ways, each with its command. `attnimg evaluate ... -o val` writes metrics.json. A model that
is not better than the shipped one, by the same measure, is refused.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from attnimg.files.state import sha256
from attnimg.models import checkpoints
from attnimg.models.build import build_net
from attnimg.models.cards import write_cards
from attnimg.models.registry import find_task

WEIGHTS = Path(__file__).parent.parent / "weights"


def main() -> None:
    """Write the weight file and its card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="weight file of a training run")
    parser.add_argument("facts", type=Path, help="TOML file of facts")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json of the weight file")
    args = parser.parse_args()
    facts = tomllib.loads(args.facts.read_text())
    metrics = json.loads(args.metrics.read_text())
    header, tensors = checkpoints.read(args.run)

    if metrics["sha256"] != sha256(args.run):
        sys.exit(f"{args.metrics} does not measure {args.run} but another file. Evaluate this one.")
    measured, names = facts["measured"], find_task(header["task"]).figures
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
            sys.exit(f"{args.run} reaches {metrics[names[0]]:.4f}, the shipped file {same[0]:.4f}. Nothing changed.")
    checkpoints.write(target, header, checkpoints.halve(tensors))
    for path in write_cards(WEIGHTS):
        sys.stdout.write(f"{path}\n")


def count_gmac(header: Mapping[str, Any]) -> float:
    """Return the multiply-accumulates of a model, in billions, per unit of its net's `example_inputs`."""
    net: Any = build_net(header["architecture"]).eval()
    inputs, units = net.example_inputs(header["preprocessing"]["size"])
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(*inputs)
    return counter.get_total_flops() / 2e9 / units


if __name__ == "__main__":
    main()
