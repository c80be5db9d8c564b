"""The curves of a run, drawn from its log."""

from __future__ import annotations

from pathlib import Path

from attnimg.training.log import Log


def draw_curves(log: Log, path: Path) -> None:
    """Draw losses (left) and the other shares that validation measured (right) over the epochs, as PNG."""
    from matplotlib.figure import Figure

    rows = log.read()
    if not rows:
        return
    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, names in ((left, ("train_loss", "loss")), (right, ("top1", "top5", "ece"))):
        for name in names:
            axis.plot(epochs, [float(row[name]) for row in rows], marker=".", label=name)
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend()
    left.set_title("loss (training images are augmented)")
    right.set_title("validation")
    figure.savefig(path, dpi=120)
