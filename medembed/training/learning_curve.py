"""The learning curve of a training as JSON lines, csv and image."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence

__all__ = ["history_files"]

History = Sequence[Mapping[str, float]]


def history_files(history: History) -> dict[str, bytes]:
    """Return ``history.jsonl``, ``history.csv`` and ``curve.png``.

    Parameters
    ----------
    history : sequence of mapping
        One entry per epoch: ``epoch``, ``loss``, and validation measures.
    """
    names = list(dict.fromkeys(name for entry in history for name in entry))
    table = io.StringIO()
    writer = csv.DictWriter(table, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    lines = "".join(json.dumps(entry) + "\n" for entry in history)
    return {
        "history.jsonl": lines.encode(),
        "history.csv": table.getvalue().encode(),
        "curve.png": _curve(history),
    }


def _curve(history: History) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for axes, names, title in (
        (left, ("loss", "val_loss"), "loss"),
        (right, ("image_to_text_R@10", "text_to_image_R@10"), "R@10 on validation"),
    ):
        for name in names:
            points = [(e["epoch"], e[name]) for e in history if name in e]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=name)
        axes.set_title(title, loc="left")
        axes.set_xlabel("epoch")
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False)
    right.set_ylim(bottom=0)
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()
