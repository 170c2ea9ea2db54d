"""Real input, the whole way: ingest, train on real pairs, evaluate, search; a page of Markdown.

    python tests/benchmarks/real_pairs.py DATA > docs/results/real_pairs.md

DATA is a folder with ``cxr_pairs``, ``cxr_labels_nih`` and ``cxr_hannover`` (each a ``cases.csv``
in the form of the table source) and ``dicom_cxr`` (DICOM files). Every step is the command that a
user would type. The pairs are few, so they are taken in five folds by ``group_id``: each
fold trains on the others and is asked alone, with its own intervals and null controls.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDS = 5
MEASURES = ("R@1", "R@5", "R@10", "MRR", "median_rank")
QUERY = "bilateral ground-glass opacities"


def medembed(*words: str | Path) -> dict[str, Any]:
    """Run a verb with ``--json``; its one object."""
    done = subprocess.run(
        [sys.executable, "-m", "medembed.cli", *map(str, words), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"medembed {words[0]}: exit {done.returncode}: {done.stderr.strip()}")
    return dict(json.loads(done.stdout))


def table_of_fold(source: Path, fold: int, target: Path) -> None:
    """Copy a table with absolute paths and the split that this fold asks for."""
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    groups = sorted({row["group_id"] for row in rows})
    for row in rows:
        place = groups.index(row["group_id"])
        row["split"] = "test" if place % FOLDS == fold else "val" if place % 11 == 0 else "train"
        row["image_path"] = ";".join(
            str((source.parent / part).resolve()) for part in row["image_path"].split(";")
        )
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def folds(data: Path, work: Path) -> list[dict[str, Any]]:
    """Train and evaluate each fold of the pairs."""
    found = []
    for fold in range(FOLDS):
        table, library = work / f"fold{fold}.csv", work / f"fold{fold}"
        table_of_fold(data / "cxr_pairs/cases.csv", fold, table)
        medembed("ingest", library, table)
        medembed("train", library, "--config", "starter")
        medembed("embed", library)
        found.append(medembed("evaluate", library, "--split", "test"))
        sys.stderr.write(f"fold {fold + 1} of {FOLDS} done\n")
    return found


def mean_over_folds(results: Sequence[dict[str, Any]], way: str) -> list[str]:
    """Rows of Markdown: a measure, its mean over folds by queries, each fold, the controls."""
    counts = [result[way]["n_queries"] for result in results]
    lines = []
    for measure in MEASURES:
        scores = [result[way][measure] for result in results]
        mean = sum(s * n for s, n in zip(scores, counts, strict=True)) / sum(counts)
        cells = []
        for result in results:
            low, high = result[way]["ci"][measure]
            cells.append(f"{result[way][measure]:.2f} [{low:.2f}, {high:.2f}]")
        nulls = []
        for control in ("images_shuffled", "notes_shuffled"):
            values = [result["nulls"][way][control][measure] for result in results]
            null = sum(v * n for v, n in zip(values, counts, strict=True)) / sum(counts)
            nulls.append(f"{null:.2f}")
        lines.append(f"| {measure} | **{mean:.2f}** | {' | '.join(cells)} | {' | '.join(nulls)} |")
    return lines


def neighbors(result: dict[str, Any]) -> list[str]:
    """Rows of Markdown for image to image."""
    lines = []
    for way in ("image_to_image", "image_to_image_by_finding"):
        part = result.get(way)
        if part is None:
            continue
        for measure in ("P@1", "P@5", "P@10"):
            low, high = part["ci"][measure]
            nulls = result["nulls"][way]
            shuffled = ", ".join(f"{nulls[name][measure]:.3f}" for name in nulls)
            lines.append(
                f"| {way} | {measure} | {part[measure]:.3f} [{low:.3f}, {high:.3f}] | "
                f"{part['chance'][measure]:.3f} | {shuffled} | {part['n_queries']} | "
                f"{part['pool']} |"
            )
    return lines


def main() -> None:
    """Print the page."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("data", type=Path)
    data = arguments.parse_args().data.resolve()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        results = folds(data, work)
        every = work / "every"
        taken = {}
        for name in ("cxr_pairs", "cxr_labels_nih", "cxr_hannover"):
            taken[name] = medembed("ingest", every, data / name / "cases.csv")
        taken["dicom_cxr"] = medembed("ingest", every, data / "dicom_cxr", "--format", "dicom")
        medembed("train", every, "--config", "starter")
        medembed("embed", every)
        radiograph = data / "dicom_cxr/chest_pa_jpeg.dcm"
        by_image = medembed("search", every, "--image", radiograph, "-k", "5")
        by_words = medembed("search", every, "--text", QUERY, "-k", "5")
        labels = work / "labels"
        asked = work / "labels.csv"
        whole_as_test(data / "cxr_labels_nih/cases.csv", asked)
        medembed("ingest", labels, asked)
        model = Path(str(every)) / "models/starter"
        medembed("embed", labels, "--model", model)
        nih = medembed("evaluate", labels, "--split", "test", "--model", model)
    write_page(results, taken, by_image, by_words, nih, load)


def whole_as_test(source: Path, target: Path) -> None:
    """Copy a table with absolute paths and every case in the test split."""
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["split"] = "test"
        row["image_path"] = str((source.parent / row["image_path"]).resolve())
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_page(
    results: Sequence[dict[str, Any]],
    taken: dict[str, dict[str, Any]],
    by_image: dict[str, Any],
    by_words: dict[str, Any],
    nih: dict[str, Any],
    load: float,
) -> None:
    """Print everything as Markdown."""
    print("# Real pairs, real files\n")
    print("Command: `python tests/benchmarks/real_pairs.py DATA > docs/results/real_pairs.md`")
    print(f"(2 cores, load {load:.1f} at the start). The data is not part of this repository.\n")
    print("## What was read\n")
    print("| source | added | refused |\n|---|---|---|")
    for name, report in taken.items():
        print(f"| {name} | {report['added']} | {report['refused']} |")
    sizes = ", ".join(
        f"{r['text_to_image']['n_queries']} queries, pool {r['text_to_image']['pool']}"
        for r in results
    )
    print("\n## Own note, five folds by `group_id`\n")
    print(
        "`configs/starter.yaml`: frozen EfficientNet-lite0 (ImageNet) and MiniLM, projections only."
    )
    print("The set contains CT and radiographs with case-report texts of 55 patients; one note may")
    print("belong to several images, which are then all relevant. Folds: " + sizes + ".")
    for way, title in (("text_to_image", "Text to image"), ("image_to_text", "Image to text")):
        print(f"\n**{title}**\n")
        head = " | ".join(f"fold {i + 1} [95%]" for i in range(len(results)))
        print(f"| measure | mean | {head} | images shuffled | notes shuffled |")
        print("|---" * (len(results) + 4) + "|")
        print("\n".join(mean_over_folds(results, way)))
    print("\n## Image to image, `cxr_labels_nih`\n")
    print("All 421 radiographs, none of them seen in training (trained on the pairs, which include")
    print("none of these patients). Relevant: another patient's image that shares a finding.\n")
    print(
        "| way | measure | score [95%] | chance | shuffled | queries | pool |\n" + "|---" * 7 + "|"
    )
    print("\n".join(neighbors(nih)))
    print("\n## Two searches over all of them\n")
    for title, found in (
        ("By a real chest radiograph (JPEG Baseline DICOM)", by_image),
        (f'By text: "{QUERY}"', by_words),
    ):
        print(f"**{title}**; novelty: {found['novelty']['state']}\n")
        print("| rank | score | modality | findings |\n|---|---|---|---|")
        for hit in found["hits"]:
            said = ", ".join(hit["findings"]) or "none given"
            print(f"| {hit['rank']} | {hit['score']:.2f} | {hit['modality']} | {said} |")
        print()


if __name__ == "__main__":
    main()
