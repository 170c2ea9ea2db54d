"""How well a configuration aligns the embedded cohort: train, embed, and print the figures.

    python tests/benchmarks/demo_quality.py LIBRARY --config demo --split val,test [key=value ...]

LIBRARY holds a cohort of another seed than the demonstration's, on which settings may be compared
freely. The figures are those that docs/results/demo.md lists: R@10 of the own note, P@5 of images
with the same findings and sides, and for every finding the ranking of plain queries.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from medembed.cases import FINDINGS, SIDED_FINDINGS, Case, Finding
from medembed.config import load_config
from medembed.library import CaseLibrary
from medembed.model import DualEncoder, embed_library
from medembed.model.report_text import note_text
from medembed.training import prepare, train
from medembed.training.validation import retrieval_summary

WORDS = {"effusion": "pleural effusion", "nodule": "lung nodule", "mass": "lung mass",
         "fracture": "rib fracture", "edema": "pulmonary edema",
         "fibrosis": "pulmonary fibrosis"}  # fmt: skip


def auc(scores: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a positive case scores above a negative one."""
    up, down = scores[positive], scores[negative]
    if len(up) == 0 or len(down) == 0:
        return float("nan")
    return float((up[:, None] > down).mean() + 0.5 * (up[:, None] == down).mean())


def has(cases: list[Case], label: str, side: str = "") -> np.ndarray:
    wanted = Finding(label, side)  # type: ignore[arg-type]
    return np.array([any(f.matches(wanted) for f in case.findings) for case in cases])


def query_table(model: DualEncoder, cases: list[Case], vectors: np.ndarray) -> None:
    presence, sides = [], []
    print(f"{'finding':16} {'n':>4} {'presence':>9} {'side AUC':>9}  (n right only, left only)")
    for label in FINDINGS:
        name = WORDS.get(label, label)
        there = has(cases, label)
        scores = vectors @ model.encode_notes([name])[0]
        found = auc(scores, there, ~there)
        presence.append(found)
        line = f"{label:16} {int(there.sum()):4d} {found:9.3f}"
        if label in SIDED_FINDINGS:
            right, left = has(cases, label, "right"), has(cases, label, "left")
            only_right, only_left = right & ~left, left & ~right
            of_right, of_left = model.encode_notes([f"right {name}", f"left {name}"]) @ vectors.T
            side = (auc(of_right, only_right, only_left) + auc(of_left, only_left, only_right)) / 2
            sides.append(side)
            present = (auc(of_right, right, ~there) + auc(of_left, left, ~there)) / 2
            presence[-1] = present
            line += f" {side:9.3f}  ({only_right.sum()}, {only_left.sum()}; sided {present:.3f})"
        print(line)
    sided = [p for p, label in zip(presence, FINDINGS, strict=True) if label in SIDED_FINDINGS]
    print(
        f"presence mean {np.nanmean(presence):.3f}, of sided {np.nanmean(sided):.3f}; "
        f"side AUC min {np.nanmin(sides):.3f} mean {np.nanmean(sides):.3f}"
    )


def same_finding_precision(cases: list[Case], vectors: np.ndarray) -> tuple[float, float]:
    """P@5 of image to image over cases with findings, other patients only, and its chance."""
    patients = np.array([case.patient_id for case in cases])
    kinds = [{(f.label, f.side) for f in case.findings} for case in cases]
    scores = vectors @ vectors.T
    hits, chance = [], []
    for i, own in enumerate(kinds):
        if not own:
            continue
        allowed = np.flatnonzero(patients != patients[i])
        relevant = np.array([bool(own & kinds[j]) for j in allowed])
        best = np.argsort(-scores[i, allowed])[:5]
        hits.append(relevant[best].mean())
        chance.append(relevant.mean())
    return float(np.mean(hits)), float(np.mean(chance))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", type=Path)
    parser.add_argument("--config", default="demo")
    parser.add_argument("--split", default="val", help="where it is measured, e.g. val,test")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_intermixed_args()
    config = load_config(arguments.config, arguments.overrides)
    with CaseLibrary.open(arguments.library) as library:
        start = time.perf_counter()
        prepare(library, config)
        print(f"decode {time.perf_counter() - start:.0f} s, load {os.getloadavg()[0]:.1f}")

        def say(entry: dict[str, float]) -> None:
            if "score" in entry:
                figures = {k: round(v, 3) for k, v in entry.items()}
                print(f"{time.perf_counter() - start:5.0f} s", figures, flush=True)

        report = train(library, config, on_epoch=say, restart=True)  # type: ignore[arg-type]
        print(f"train {report.seconds:.0f} s {report.chosen} (cpu {time.process_time():.0f} s)")
        model = DualEncoder.load(report.folder)
        start = time.perf_counter()
        embed_library(library, model)
        print(f"embed {time.perf_counter() - start:.0f} s")
        chosen = [i for name in arguments.split.split(",") for i in library.split(name)]
        cases = list(library.select(chosen))
        places = [dict(zip(*[library.vectors(model.fingerprint, kind)[0],
                             library.vectors(model.fingerprint, kind)[1]], strict=True))
                  for kind in ("image", "note")]  # fmt: skip
        images, notes = (np.stack([place[case.case_id] for case in cases]) for place in places)
    texts = [note_text(case.note) for case in cases if case.note]
    summary = retrieval_summary(images, notes, texts)
    print({name: round(value, 3) for name, value in summary.items()})
    found, chance = same_finding_precision(cases, images)
    print(f"image→image P@5 {found:.3f}, chance {chance:.3f}, ratio {found / chance:.1f}")
    query_table(model, cases, images)


if __name__ == "__main__":
    main()
