"""How many swapped reports `medembed check` finds, on the simulated cohort.

    python tests/benchmarks/pair_check.py FOLDER [--cases 1500] [--seeds 0 1] [--share 0.05]

Simulates the demonstration's cohort once, gives a share of the studies the report of another
patient, ingests that, trains the configuration on all of it as in life (the model sees the
wrong pairs), embeds, checks, and prints AUC and the share of wrong pairs in the first tenth of the
list, with 95% intervals over patients. Nothing is measured in time. What exists is not made again.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medembed.config import load_config
from medembed.library import CaseLibrary, ingest
from medembed.model import DualEncoder, embed_library
from medembed.pair_check import PairCheck, ReasonKind, check_pairs
from medembed.sources import open_source
from medembed.sources.synthetic import CohortConfig, write_cohort
from medembed.training import train

COHORT_SEED = 2
HEADER = (ReasonKind.VIEW, ReasonKind.MODALITY)
REPETITIONS = 2000
Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def swap_reports(cohort: Path, folder: Path, share: float, seed: int) -> tuple[Path, list[str]]:
    """Write the reports with a share of them passed on to another patient; return their studies."""
    rows = rows_of(cohort / "reports.csv")
    patient_of = {row["accession"]: row["patient"] for row in rows_of(cohort / "truth.csv")}
    patients = [patient_of[row["accession"]] for row in rows]
    rng = np.random.default_rng(seed)
    while True:
        chosen = rng.choice(len(rows), round(share * len(rows)), replace=False)
        givers = np.roll(chosen, 1)
        if all(patients[a] != patients[b] for a, b in zip(chosen, givers, strict=True)):
            break
    dirty = [dict(row) for row in rows]
    for taker, giver in zip(chosen, givers, strict=True):
        dirty[taker] |= {name: rows[giver][name] for name in ("note", "findings")}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "reports.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(dirty)
    return path, [rows[i]["study_uid"] for i in chosen]


def auc(scores: Scores, wrong: Flags) -> float:
    """Probability that a wrong pair is more suspicious than a right one; ties count half."""
    values, counts = np.unique(scores, return_counts=True)
    mid_rank = np.cumsum(counts) - (counts - 1) / 2
    ranks = mid_rank[np.searchsorted(values, scores)]
    n_wrong, n_right = int(wrong.sum()), int((~wrong).sum())
    return float((ranks[wrong].sum() - n_wrong * (n_wrong + 1) / 2) / (n_wrong * n_right))


def in_first(scores: Scores, wrong: Flags, share: float = 0.1) -> float:
    """Share of the wrong pairs in the first tenth of the list."""
    first = np.argsort(-scores, kind="stable")[: round(share * len(scores))]
    return float(wrong[first].sum() / wrong.sum())


def line(name: str, scores: Scores, wrong: Flags, patients: npt.NDArray[np.int64]) -> str:
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(patients == one) for one in range(patients.max() + 1)]
    drawn = []
    for _ in range(REPETITIONS):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        if 0 < wrong[rows].sum() < len(rows):
            drawn.append((auc(scores[rows], wrong[rows]), in_first(scores[rows], wrong[rows])))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    found = (auc(scores, wrong), in_first(scores, wrong))
    cells = [f"{found[i]:.3f} [{low[i]:.3f}, {high[i]:.3f}]" for i in (0, 1)]
    return f"{name:32} AUC {cells[0]}   in the first 10% {cells[1]}"


def report(found: PairCheck, library: CaseLibrary, studies: list[str]) -> None:
    wrong_ids = {library.pseudonymizer.study(uid) for uid in studies}
    wrong = np.array([one.case_id in wrong_ids for one in found.suspects])
    patient_of = library.patients()
    patients = np.unique([patient_of[s.case_id] for s in found.suspects], return_inverse=True)[1]
    score = np.array([one.score for one in found.suspects])
    headers = np.array([sum(one.bits_of(kind) for kind in HEADER) for one in found.suspects])
    print(f"{len(found)} pairs, {wrong.sum()} with another patient's report; {found.counts()}")
    print(line("the list", score, wrong, patients))
    print(line("content alone", score - headers, wrong, patients))
    for split in ("train", "val", "test"):
        part = np.array([one.split == split for one in found.suspects])
        place = np.unique(patients[part], return_inverse=True)[1]
        print(line(f"the list, {split} ({wrong[part].sum()})", score[part], wrong[part], place))
    ids, images = library.vectors(found.fingerprint, "image")
    of_note = dict(zip(*library.vectors(found.fingerprint, "note"), strict=True))
    cosine = {one: float(images[i] @ of_note[one]) for i, one in enumerate(ids) if one in of_note}
    plain = np.array([-cosine[one.case_id] for one in found.suspects])
    print(line("cosine of the pair (baseline)", plain, wrong, patients))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cohort", type=Path, help="an existing cohort; default: FOLDER/cohort")
    parser.add_argument("--cases", type=int, default=1500)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--config", default="pair-check")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_intermixed_args()
    cohort = arguments.cohort or arguments.folder / "cohort"
    if arguments.cohort is None:
        views = {"PA": 0.7, "AP": 0.3}
        config = CohortConfig(n_studies=arguments.cases, seed=COHORT_SEED, views=views)
        write_cohort(cohort, config)
    for seed in arguments.seeds:
        folder = arguments.folder / f"seed-{seed}"
        reports, studies = swap_reports(cohort, folder, arguments.share, seed)
        (folder / "swapped.json").write_text(json.dumps(studies))
        with CaseLibrary.open(folder / "library", create=True) as library:
            ingest(library, open_source(cohort / "dicom", "dicom", notes=reports))
            trained = train(library, load_config(arguments.config, arguments.overrides))
            embed_library(library, DualEncoder.load(trained.folder))
            print(f"seed {seed}, {arguments.config}, trained on {trained.n_train} pairs")
            report(check_pairs(library), library, studies)


if __name__ == "__main__":
    main()
