"""Plots of a run's log."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from attnimg.training.log import Log

LOSSES = ("train_loss", "loss")
NOT_MEASURED = (*LOSSES, "epoch", "size", "rate", "seconds")


def draw_curves(log: Log, path: Path) -> None:
    """Draw the losses (left) and the other validation measures (right) over the epochs, as PNG."""
    rows = log.read()
    if not rows:
        return
    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    measured = [name for name in rows[0] if name not in NOT_MEASURED]
    for axis, names in ((left, LOSSES), (right, measured)):
        for name in names:
            axis.plot(epochs, [float(row[name]) for row in rows], marker=".", label=name)
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend()
    left.set_title("loss (training images are augmented)")
    right.set_title("validation")
    figure.savefig(path, dpi=120)
