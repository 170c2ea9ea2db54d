"""Write the demonstration's figures as a Markdown page.

medembed demo LIBRARY --json > demo.json        (in an empty folder, on a quiet machine)
python tests/benchmarks/demo_page.py demo.json > docs/results/demo.md
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from evaluation.retrieval.zero_shot import zero_shot_means

SETTINGS = """\
**The settings were chosen on another cohort** (seed 1, validation and test cases together:
`tests/benchmarks/demo_quality.py`; docs/decisions/0026 has the reasons). This cohort's cases took
no part in any choice. Its seed is the next one with at least 300 test cases. One training, one
seed. A pool of 300 of its 303 test cases is drawn patient by patient in the order of their
pseudonyms, which every library draws for itself, so that the number of patients differs by one or
two between runs.
"""

TITLES = {
    "text_to_image": "Text to image: a report finds its own scan",
    "image_to_text": "Image to text: a scan finds its own report",
    "image_to_image": "Image to image: another patient with the same finding on the same side",
    "image_to_image_by_finding": "Image to image: another patient with the same finding",
}


def zero_shot_markdown(table: list[dict[str, Any]]) -> str:
    """Write the table and its means in Markdown, weak and not assessable rows included."""
    lines = [
        "| query | side vs other side [95%] | cases | presence vs absence [95%] | cases |",
        "|---|---|---|---|---|",
    ]
    for row in table:
        cells = [row["text"]]
        for name in ("side", "presence"):
            cells += [area_cell(row, name), "{} / {}".format(*row[f"n_{name}"])]
        lines.append("| " + " | ".join(cells) + " |")
    means = zero_shot_means(table)
    for name, n, what in (
        ("auc_side", "n_side", "side against other side"),
        ("auc_presence", "n_presence", "presence against absence, with a side"),
        ("auc_presence_unsided", "n_presence_unsided", "presence against absence, no side"),
    ):
        if means[name] is not None:
            lines.append(f"\nMean of {means[n]} queries, {what}: {means[name]:.3f}")
    return "\n".join(lines) + "\n"


def area_cell(row: dict[str, Any], name: str) -> str:
    if row[f"auc_{name}"] is None:
        return str(row[f"{name}_note"])
    pair = row[f"auc_{name}_ci"]
    ends = f" [{pair[0]:.2f}, {pair[1]:.2f}]" if pair else ""
    return f"{row[f'auc_{name}']:.3f}{ends}"


def scores(way: str, part: dict[str, Any], nulls: dict[str, Any]) -> list[str]:
    """Table of one direction: value and interval, chance, each null control with its range."""
    names = list(nulls)
    lines = [
        f"\n## {TITLES[way]}\n",
        f"{part['n_queries']} queries of {part['n_patients']} patients, pool {part['pool']}.\n",
        "| measure | score [95%] | chance | "
        + " | ".join(n.replace("_", " ") for n in names)
        + " |",
        "|---" * (3 + len(names)) + "|",
    ]
    for measure, (low, high) in part["ci"].items():
        digits = 1 if measure == "median_rank" else 3
        shuffled = []
        for name in names:
            bottom, top = nulls[name]["range95"][measure]
            shuffled.append(
                f"{nulls[name][measure]:.{digits}f} [{bottom:.{digits}f}, {top:.{digits}f}]"
            )
        lines.append(
            f"| {measure} | {part[measure]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}] | "
            f"{part['chance'][measure]:.{digits}f} | " + " | ".join(shuffled) + " |"
        )
    return lines


def main() -> None:
    """Print the page."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("report", type=Path, help="What medembed demo --json printed.")
    arguments.add_argument("--load", help="Load of the machine while it ran.", default="not noted")
    given = arguments.parse_args()
    report = json.loads(given.report.read_text(encoding="utf-8"))
    figures = report["evaluation"]
    spent = ", ".join(f"{name} {value:.0f} s" for name, value in report["seconds"].items())
    print("# The demonstration\n")
    print("Commands: `medembed demo LIBRARY --json > demo.json`,")
    print("`python tests/benchmarks/demo_page.py demo.json > docs/results/demo.md`.")
    print(f"{os.cpu_count()} cores; other load on the machine: {given.load}.\n")
    print("The patients are simulated: the figures show that the pipeline works, not how well it")
    print(f"would work on real patients. {figures['n_cases']} held-out studies of")
    print(f"{figures['n_patients']} patients that the model never saw. Intervals: bootstrap over")
    print("patients. Null controls: the same vectors, shuffled;")
    print("in brackets the range of 95% of the repetitions.\n")
    print(SETTINGS)
    print(f"Time: {spent}.")
    for way in TITLES:
        print("\n".join(scores(way, figures[way], figures["nulls"][way])))
    print("\n## Text prompts\n")
    print(
        'Queries such as "right pleural effusion" over all held-out studies. *Side*: cases with the'
    )
    print(
        "finding on that side above cases with it on the other. *Presence*: cases with it on that"
    )
    print("side above cases without the finding. Area under the ROC curve, 0.5 is chance.\n")
    print(zero_shot_markdown(report["text_prompts"]["rows"]))


if __name__ == "__main__":
    main()
