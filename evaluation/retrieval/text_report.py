"""Scores as text: tables for the terminal and a sentence for each task, in one catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evaluation.retrieval.library import TASKS, LibraryScores
from evaluation.retrieval.null_controls import NullControl
from evaluation.retrieval.runs import RunScores
from evaluation.retrieval.scores import RetrievalScores
from medembed.lookup.score_curve import FEWEST_PATIENTS
from medembed.lookup.score_tables import KindScores, ScoreTables
from medembed.vector_exchange import short_fingerprint

__all__ = ["print_scores", "print_worth", "score_table", "summary_lines", "title"]

_ADJUSTED = "Adjusted: 0 at chance, 1 for a perfect ranking."
_LEGEND = (
    "In brackets: for a score its 95% interval over patients, for a shuffled control the range "
    f"of 95% of its repetitions. {_ADJUSTED}"
)

_TITLES = {
    "text_to_image": "Text to image: find the scan of a report",
    "image_to_text": "Image to text: find the report of a scan",
    "image_to_image": "Image to image: same finding on the same side, other patients",
    "image_to_image_by_finding": "Image to image: same finding on either side, other patients",
    "qrels": "Relevance from the qrels",
    "own": "Relevant: the query's own case",
    "finding": "Relevant: same finding on the same side, other patients",
    "finding_either_side": "Relevant: same finding on either side, other patients",
}
_IN_WORDS = {
    "text_to_image": ("R@10", "Reports whose own scan is among the first 10"),
    "image_to_text": ("R@10", "Scans whose own report is among the first 10"),
    "image_to_image": ("P@5", "First 5 neighbors of a scan with the same finding and side"),
    "image_to_image_by_finding": ("P@5", "First 5 neighbors of a scan with the same finding"),
}
_OWN_PATIENT = {
    "excluded": "Hits of the query's own patient are excluded",
    "excluded_unless_relevant": (
        "Hits of the query's own patient are excluded, unless the qrels call them relevant"
    ),
    "counted": "Hits of the query's own patient are counted, since the patients are not known",
}
_UNIT = {
    "library": "intervals are over the library's patients.",
    "column": "intervals are over the patients of the column 'patient'.",
    "query": "each query counts as a patient, so intervals are too narrow if patients repeat.",
}


def print_scores(result: LibraryScores | RunScores) -> None:
    """Print a table for each task or relevance, and what the scores rest on in sentences."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    parts: Mapping[str, tuple[RetrievalScores, Mapping[str, NullControl]]]
    if isinstance(result, LibraryScores):
        console.print(
            f"Split {result.split}: {result.n_cases} cases of {result.n_patients} patients, "
            f"model {short_fingerprint(result.fingerprint)}, seed {result.seed}"
        )
        if result.coverage.lacks:
            console.print(Text(f"Partial: {result.coverage.lacks}.", style="bold"))
        parts = {name: (task.scores, task.nulls) for name, task in result.tasks.items()}
        lines = [f"{_LEGEND}\n", *summary_lines(result)]
    else:
        parts = {name: (scores, {}) for name, scores in result.scores.items()}
        lines = _run_lines(result)
    for name, (scores, nulls) in parts.items():
        console.print(Text(f"\n{title(name)}", style="bold"))
        console.print(Text(_pool_line(scores)))
        console.print(score_table(scores, nulls, wide=console.width >= 96))
    console.print()
    for line in lines:
        console.print(Text(line))


def print_worth(tables: ScoreTables) -> None:
    """Print for each kind of query what hits of low, middle and high scores are worth."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    shown = {kind: one for kind, one in tables.kinds.items() if len(one.curve.floors)}
    console.print(Text("\nWhat a score is worth: hits that share a finding, of 100", style="bold"))
    if not shown:
        console.print(
            f"Cannot tell: fewer than {FEWEST_PATIENTS} held-out patients have a finding."
        )
        return
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("query", no_wrap=True)
    for head in ("patients", "any case", "low scores", "middle", "high scores"):
        table.add_column(head, justify="right", no_wrap=True)
    for kind, one in shown.items():
        middle = len(one.curve.floors) // 2
        chance = "" if one.any_case is None else f"{100 * one.any_case:.0f}"
        steps = (_worth_cell(one, at) for at in (0, middle, -1))
        table.add_row(str(kind), str(one.n_with_finding), chance, *steps)
    console.print(table)
    console.print(
        "Held-out patients asked the whole library; search now says this beside each hit."
    )


def _worth_cell(scores: KindScores, at: int) -> str:
    curve = scores.curve
    share, low, high = (100 * float(x[at]) for x in (curve.shares, curve.lows, curve.highs))
    return f"{share:.0f} [{low:.0f} {high:.0f}] from {curve.floors[at]:.2f}"


def title(task: str) -> str:
    """Headline of a task."""
    return _TITLES[task]


def score_table(
    scores: RetrievalScores, nulls: Mapping[str, NullControl], *, wide: bool = True
) -> Table:
    """Give a row for each measure: value and interval, chance, null controls by what was shuffled.

    ``wide`` adds the ratio to chance and the chance-adjusted value.
    """
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("measure", no_wrap=True)
    heads = ["score [95%]", "chance", *(name.replace("_", " ") for name in nulls)]
    for head in [*heads, *(["x chance", "adjusted"] if wide else [])]:
        table.add_column(head, justify="right", no_wrap=True)
    for name, value in scores.values.items():
        digits = 1 if name == "median_rank" else 3
        cells = [
            name.replace("_", " "),
            f"{value:.{digits}f}{_ends(scores.ci[name], digits)}",
            f"{scores.chance[name]:.{digits}f}",
            *(f"{n.mean[name]:.{digits}f}{_ends(n.range95[name], digits)}" for n in nulls.values()),
        ]
        if wide:
            cells.append(f"{scores.ratio[name]:.1f}" if name in scores.ratio else "")
            cells.append(f"{scores.adjusted[name]:.3f}" if name in scores.adjusted else "")
        table.add_row(*cells)
    return table


def _ends(pair: tuple[float, float] | None, digits: int) -> str:
    return f" [{pair[0]:.{digits}f} {pair[1]:.{digits}f}]" if pair else ""


def _pool_line(scores: RetrievalScores) -> str:
    """How many queries ran against how many cases, and what was left out."""
    line = (
        f"{scores.n_queries} queries of {scores.n_patients} patients, pool of {scores.pool} "
        f"({scores.pool_mean:.1f} after exclusions)"
    )
    if scores.n_without_relevant:
        line += f"; {scores.n_without_relevant} queries without a relevant case left out"
    left_out = [f"{count} x {reason}" for reason, count in scores.excluded.items() if count]
    return line + (f". Left out of pools: {', '.join(left_out)}." if left_out else ".")


def summary_lines(result: LibraryScores) -> Iterator[str]:
    """One plain sentence for each task, and a warning if there are few patients."""
    for name in TASKS:
        if name not in result.tasks:
            yield f"{_TITLES[name]}: not assessable ({result.not_assessable[name]})."
            continue
        task = result.tasks[name]
        measure, words = _IN_WORDS[name]
        pair = task.scores.ci[measure]
        ends = f" [{100 * pair[0]:.0f} to {100 * pair[1]:.0f}]" if pair else ""
        ceiling = max(null.range95[measure][1] for null in task.nulls.values())
        clear = "" if pair is not None and pair[0] > ceiling else "not "
        yield (
            f"{words}: {100 * task.scores[measure]:.0f}%{ends}, {clear}clearly above shuffled "
            f"cases; by chance {100 * task.scores.chance[measure]:.1f}%."
        )
    yield from _few(result.n_patients)


def _run_lines(result: RunScores) -> list[str]:
    """What the scores of a run rest on."""
    lines = [
        f"Hits: {result.n_hits}. Queries: {result.n_queries}; without hits, counted as 0: "
        f"{result.n_without_hits}.",
        f"{_OWN_PATIENT[result.own_patient]}; {_UNIT[result.patients]}",
    ]
    if result.relevance == "qrels" and result.patients != "library":
        lines.append(
            "The pool is the cases that the run or the qrels name. If the archive is larger, "
            "chance is lower than shown."
        )
    n_patients = max(scores.n_patients for scores in result.scores.values())
    return [*lines, f"In brackets: the 95% interval. {_ADJUSTED}", *_few(n_patients)]


def _few(n_patients: int) -> list[str]:
    words = f"Only {n_patients} patients: the intervals are wide and themselves uncertain."
    return [words] if n_patients < 50 else []
