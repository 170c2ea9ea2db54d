"""Put scores into words: a table for the terminal and a sentence for each way to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluation.retrieval.library import WAYS, LibraryScores

if TYPE_CHECKING:
    from rich.table import Table

    from evaluation.retrieval.tasks import TaskScores

__all__ = ["LEGEND", "excluded_line", "meaning", "score_table", "title"]

LEGEND = (
    "In brackets: beside a score its 95% interval over patients, beside a shuffled control the "
    "range of 95% of its repetitions. Adjusted: 0 at chance, 1 for a perfect ranking."
)

_TITLES = {
    "text_to_image": "Text to image: ask with a report for its own scan",
    "image_to_text": "Image to text: ask with a scan for its own report",
    "image_to_image": "Image to image: same finding on the same side, other patients",
    "image_to_image_by_finding": "Image to image: same finding, either side, other patients",
}
_SHUFFLED = {
    "images_shuffled": "images shuffled",
    "notes_shuffled": "notes shuffled",
    "findings_shuffled": "findings shuffled",
}


def title(way: str) -> str:
    """Headline of a way to ask."""
    return _TITLES[way]


def score_table(direction: TaskScores, *, wide: bool = True) -> Table:
    """Give a row for each measure: value and interval, chance, null controls.

    Parameters
    ----------
    direction : TaskScores
    wide : bool
        Whether there is room for the ratio to chance and the chance-adjusted value.
    """
    from rich.table import Table

    scores = direction.scores
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    heads = ["score [95%]", "chance", *(_SHUFFLED[name] for name in direction.nulls)]
    table.add_column("measure", no_wrap=True)
    for head in [*heads, *(["x chance", "adjusted"] if wide else [])]:
        table.add_column(head, justify="right", no_wrap=True)
    for name, value in scores.values.items():
        digits = 1 if name == "median_rank" else 3
        cells = [
            name.replace("_", " "),
            f"{value:.{digits}f}{_ends(scores.ci[name], digits)}",
            f"{scores.chance[name]:.{digits}f}",
        ]
        for null in direction.nulls.values():
            cells.append(f"{null.mean[name]:.{digits}f}{_ends(null.range95[name], digits)}")
        if wide:
            cells.append(f"{scores.ratio[name]:.1f}" if name in scores.ratio else "")
            cells.append(f"{scores.adjusted[name]:.3f}" if name in scores.adjusted else "")
        table.add_row(*cells)
    return table


def _ends(pair: tuple[float, float] | None, digits: int) -> str:
    return f" [{pair[0]:.{digits}f} {pair[1]:.{digits}f}]" if pair else ""


def excluded_line(direction: TaskScores) -> str:
    """Say how many were asked, against how many, and what was left out."""
    scores = direction.scores
    line = (
        f"{scores.n_queries} queries of {scores.n_patients} patients, pool of {scores.pool} "
        f"({scores.pool_mean:.1f} after exclusions)"
    )
    if scores.n_without_relevant:
        line += f"; {scores.n_without_relevant} queries without anything relevant left out"
    left_out = [f"{count} x {reason}" for reason, count in scores.excluded.items() if count]
    return line + (f". Left out of pools: {', '.join(left_out)}." if left_out else ".")


def meaning(result: LibraryScores) -> list[str]:
    """One plain sentence for each way to ask, and a warning where the numbers are thin."""
    said = []
    for way in WAYS:
        if way not in result.directions:
            said.append(f"{_TITLES[way]}: not assessable ({result.not_assessable[way]}).")
            continue
        direction = result.directions[way]
        scores = direction.scores
        name = "R@10" if way in ("text_to_image", "image_to_text") else "P@5"
        pair = scores.ci[name]
        ends = f" [{100 * pair[0]:.0f} to {100 * pair[1]:.0f}]" if pair else ""
        value, chance = 100 * scores[name], 100 * scores.chance[name]
        ceiling = max(null.range95[name][1] for null in direction.nulls.values())
        clear = pair is not None and pair[0] > ceiling
        what = {
            "text_to_image": "a report finds its own scan among the first 10 in",
            "image_to_text": "a scan finds its own report among the first 10 in",
            "image_to_image": "of a scan's first 5 neighbours, the same finding and side is on",
            "image_to_image_by_finding": "of a scan's first 5 neighbours, the same finding is on",
        }[way]
        said.append(
            f"{what[0].upper()}{what[1:]} {value:.0f}%{ends}; by chance it would be {chance:.1f}%; "
            + ("clearly above" if clear else "not clearly above")
            + " what shuffled cases give."
        )
    if result.n_patients < 50:
        said.append(
            f"Only {result.n_patients} patients: the intervals are wide and themselves uncertain."
        )
    return said
