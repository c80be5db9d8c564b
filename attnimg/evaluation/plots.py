"""Plots of confusion and of calibration.

Matplotlib (extra `train`) draws them on its own canvas: no display, no window, no global state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from attnimg.errors import Unavailable
from attnimg.evaluation.calibration import Reliability

INK, GRAY, BLUE, RED = "#222222", "#8a8a8a", "#3b6ea8", "#c1443c"
LEGIBLE = 250
"""Most classes whose labels are drawn; with more, the axes have none."""


def draw_confusion(path: Path, confusion: Tensor, labels: Sequence[str], pairs: int = 15) -> Path:
    """Draw the confusion matrix as shares of each true class, and the `pairs` most frequent confusions.

    confusion: K x K counts, true class by row. labels: K. The color scale is perceptually uniform and always [0, 1]; it
    follows the square root, so that one image of fifty is visible. Returns the path. Unavailable: no matplotlib.
    """
    classes = len(labels)
    names = [_plain(label) for label in labels]
    # All lengths are inches, so that cells have the same size and labels have room for any number of classes.
    side = max(4.0, min(8.0, 0.3 * classes), 0.085 * min(classes, LEGIBLE))
    size = min(9.0, 0.8 * 72 * side / classes)  # points
    margin = 0.4 + 0.24 * size
    width, height = margin + side + 8.6, 0.5 + max(side + margin, 0.32 * pairs + 0.2)
    figure = _figure(width, height)

    def axes_at(left: float, w: float, h: float) -> Any:
        return figure.add_axes((left / width, 1 - (0.5 + h) / height, w / width, h / height))

    from matplotlib.colors import PowerNorm

    matrix = axes_at(margin, side, side)
    shares = confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)
    image = matrix.imshow(shares.numpy(), cmap="viridis", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    matrix.set(xlabel="predicted", ylabel="true")
    matrix.set_title("Share of each true class that is predicted as …", loc="left")
    if classes <= LEGIBLE:
        matrix.set_xticks(range(classes), names, rotation=90, fontsize=size, parse_math=False)
        matrix.set_yticks(range(classes), names, fontsize=size, parse_math=False)
        matrix.tick_params(length=0, pad=2)
    scale = figure.colorbar(image, cax=axes_at(margin + side + 0.15, 0.15, min(side, 4)))
    scale.set_ticks([0, 0.02, 0.1, 0.25, 0.5, 1], labels=["0 %", "2 %", "10 %", "25 %", "50 %", "100 %"])
    _draw_pairs(axes_at(margin + side + 5.4, 2.4, 0.32 * pairs), confusion, names, pairs)
    figure.savefig(path)
    return path


def _draw_pairs(axes: Any, confusion: Tensor, names: Sequence[str], pairs: int) -> None:
    wrong = confusion.clone().fill_diagonal_(0)
    counts, places = wrong.flatten().sort(descending=True, stable=True)
    worst = [(*divmod(p, len(names)), n) for p, n in zip(places[:pairs].tolist(), counts.tolist(), strict=False) if n]
    rows = range(len(worst))
    axes.set_title(f"Most frequent confusions, {len(worst)} of {int((wrong > 0).sum())}", loc="right")
    axes.barh(rows, [count for _, _, count in worst], color=BLUE, height=0.6)
    for row, (true, _, count) in enumerate(worst):
        axes.text(count, row, f" {count} of {int(confusion[true].sum())}", va="center", fontsize=9, color=GRAY)
    shown = [f"{names[true]} → {names[predicted]}" for true, predicted, _ in worst]
    axes.set_yticks(rows, shown, fontsize=9, parse_math=False)
    axes.set(ylim=(pairs - 0.5, -0.5), xlim=(0, 1.4 * max((count for _, _, count in worst), default=1)))
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def draw_reliability(path: Path, table: Reliability) -> Path:
    """Draw accuracy and the number of images over confidence. Return the path. Unavailable: matplotlib is missing."""
    figure = _figure(5.6, 6.4)
    figure.set_layout_engine("constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    rows = [row for row in table if row.count]
    width = 1 / table.bins
    middles = [(row.lower + row.upper) / 2 for row in rows]
    accuracy = [row.accuracy for row in rows]
    above.bar(middles, accuracy, width, color=BLUE, edgecolor="white", label="accuracy")
    gaps = [row.confidence - row.accuracy for row in rows]
    above.bar(middles, gaps, width / 2, accuracy, color=RED, alpha=0.55, label="gap to mean confidence")
    above.plot([0, 1], [0, 1], "--", color=INK, linewidth=1, label="perfect calibration")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    above.set_title(f"Expected calibration error {100 * table.error():.1f} %", loc="left")
    above.legend(loc="upper left", frameon=False, fontsize=9)

    images = int(table.count.sum())
    below.bar(middles, [row.count / images for row in rows], width, color=GRAY, edgecolor="white")
    below.set(xlabel="confidence: score of the predicted label", ylabel=f"share of\n{images:,} images")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    below.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    figure.savefig(path)
    return path


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Unavailable("Plots need matplotlib. Install it with: pip install 'attnimg[train]'") from error
    figure = Figure((width, height), dpi=110)
    FigureCanvasAgg(figure)
    return figure


def _plain(label: str) -> str:
    label = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in label)
    return label if len(label) <= 28 else label[:27] + "…"
