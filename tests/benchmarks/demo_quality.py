"""How well a configuration aligns the embedded cohort: train, embed, and print the figures.

    python tests/benchmarks/demo_quality.py LIBRARY --config demo --split val,test [key=value ...]

LIBRARY holds a cohort of another seed than the demonstration's, on which settings may be compared
freely (its cohort is ``CohortConfig(n_studies=1500, seed=1, views={"PA": 0.7, "AP": 0.3})``). The
figures are those that docs/results/demo.md lists: R@10 of the own note, P@5 of images with the same
findings and sides, and for every finding the ranking of plain queries.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from evaluation.retrieval.zero_shot import plain_queries, zero_shot_means, zero_shot_table
from medembed.cases import Case
from medembed.config import load_config
from medembed.library import CaseLibrary
from medembed.model import DualEncoder, embed_library
from medembed.pairing import joined, note_key, owner_keys
from medembed.training import prepare, train
from medembed.training.validation import PoolLabels, retrieval_summary


def query_table(model: DualEncoder, cases: list[Case], vectors: np.ndarray) -> None:
    """Print how plain queries rank the cases, by the definition of docs/results/demo.md."""
    queries = plain_queries()
    table = zero_shot_table(
        model.encode_notes([text for _, _, text in queries]),
        queries,
        vectors,
        [case.findings for case in cases],
        [case.patient_id for case in cases],
    )
    for row in table:
        parts = []
        for name in ("side", "presence"):
            low, high = row[f"auc_{name}_ci"] or (np.nan, np.nan)
            value = np.nan if row[f"auc_{name}"] is None else row[f"auc_{name}"]
            parts.append(f"{name} {value:.3f} [{low:.2f}, {high:.2f}] of {row[f'n_{name}']}")
        print(f"{row['text']:22} {'  '.join(parts)}")
    print({name: round(value, 3) for name, value in zero_shot_means(table).items()})


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
    labels = PoolLabels(
        joined([[note_key(case.note.text)] for case in cases if case.note]),
        joined([owner_keys(case.patient_id, case.group_id) for case in cases]),
        np.arange(len(cases)),
    )
    summary = retrieval_summary(images, notes, labels)
    print({name: round(value, 3) for name, value in summary.items()})
    found, chance = same_finding_precision(cases, images)
    print(f"image→image P@5 {found:.3f}, chance {chance:.3f}, ratio {found / chance:.1f}")
    query_table(model, cases, images)


if __name__ == "__main__":
    main()
