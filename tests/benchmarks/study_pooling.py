"""What pooling the images of a study gains, on simulated chests with a frontal and a lateral view.

    python tests/benchmarks/study_pooling.py LIBRARY [--cases 2000] [--seed 2] [--rungs NAME...]

LIBRARY is made if it is missing: four studies of five have a frontal and a lateral view, the others
a frontal view. The rungs are trained on the same cases and asked by the rule of ``medembed
evaluate`` on the held-out patients. Differences are beside the pooled mean, paired, from a
bootstrap over patients. ``missing`` pools frontal views only: what a case loses whose lateral view
was not taken. No time is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from alignment_ladder import paired

from evaluation.retrieval.load_cases import LoadedCases, load_cases
from evaluation.retrieval.tasks import image_to_text, text_to_image
from medembed.config import load_config
from medembed.library import CaseLibrary, ingest
from medembed.library.priors import with_earlier_studies
from medembed.model import DualEncoder, embed_library
from medembed.model.pixel_cache import read_pixels
from medembed.model.study_vectors import source_of
from medembed.sources import open_source
from medembed.sources.synthetic import CohortConfig, write_cohort
from medembed.training import train

RUNGS: dict[str, list[str]] = {
    "mean of the images' vectors, trained on one image at a time": [],
    "pooled mean": ["study.kind=mean"],
    "attention": ["study.kind=attention"],
    "resampler": ["study.kind=resampler"],
    "resampler, one earlier study": ["study.kind=resampler", "study.priors=1"],
}
FIRST = "pooled mean"
TASKS = {"text→image": text_to_image, "image→text": image_to_text}


def library_at(folder: Path, cases: int, seed: int) -> CaseLibrary:
    """Open the library, making it first if it is missing."""
    if not (folder / "library.sqlite").exists():
        config = CohortConfig(n_studies=cases, seed=seed, views={"PA+LATERAL": 0.8, "PA": 0.2})
        cohort = write_cohort(folder.with_name(folder.name + "-cohort"), config)
        with CaseLibrary.open(folder, create=True) as library:
            ingest(library, open_source(cohort.dicom, "dicom", notes=cohort.reports))
    return CaseLibrary.open(folder)


def frontal_only(library: CaseLibrary, model: DualEncoder, cases: LoadedCases) -> LoadedCases:
    """Return the cases with vectors of their frontal views, and of those of earlier studies."""
    wanted, owners, sources = [], [], []
    studies = with_earlier_studies(library, cases.case_ids, model.n_priors)
    for owner, of_case in studies.items():
        for case, days in of_case:
            for at, ref in enumerate(case.scans):
                if ref.view in ("PA", "AP"):
                    wanted.append((case, at))
                    owners.append(owner)
                    sources.append(source_of(case, ref, days))
    pixels = list(read_pixels(library, wanted, model.preprocess))
    images = model.encode_pixels(pixels, scans=owners, sources=sources)
    assert list(dict.fromkeys(owners)) == list(cases.case_ids)
    return replace(cases, images=images)


def measured(library: CaseLibrary, rung: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Return every query's mean over trainings from several seeds, and the patients."""
    found: dict[str, Any] = {}
    for seed in seeds:
        name = "".join(c if c.isalnum() else "-" for c in rung)[:40] + f"-{seed}"
        config = load_config("demo", [*RUNGS[rung], f"name={name}", f"seed={seed}"])
        model = DualEncoder.load(train(library, config).folder)
        embed_library(library, model, cached=True)
        cases = load_cases(library, model.fingerprint, split="test")
        pools = {"": cases, "missing": frontal_only(library, model, cases)}
        for pool, those in pools.items():
            for task, run in TASKS.items():
                scores = run(those, shuffles=0, repetitions=100).scores
                for measure in ("MRR", "R@10"):
                    key = " ".join(filter(None, (pool, task, measure)))
                    found[key] = found.get(key, 0) + np.array(scores.per_query[measure])
        found["owners"] = [str(owner) for owner in cases.owners]
    return {k: v if k == "owners" else v / len(seeds) for k, v in found.items()}


def main() -> None:
    """Print a row for each rung as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=2, help="of the cohort")
    parser.add_argument("--trainings", type=int, default=2, help="for each rung, averaged")
    parser.add_argument("--rungs", nargs="*", default=list(RUNGS))
    given = parser.parse_args()
    columns = ("text→image R@10", "text→image MRR", "image→text MRR", "missing text→image MRR")
    library = library_at(given.library, given.cases, given.seed)
    first = measured(library, FIRST, range(given.trainings))
    print(f"{len(first['owners'])} queries of {len(set(first['owners']))} patients.\n")
    print(f"| pooling | {' | '.join(columns)} | text→image MRR beside the pooled mean [95%] |")
    print("|---" * (len(columns) + 2) + "|")
    for rung in given.rungs:
        values = first if rung == FIRST else measured(library, rung, range(given.trainings))
        cells = []
        for column in columns:
            low, high = paired(values[column], values["owners"])
            cells.append(f"{values[column].mean():.3f} [{low:.2f}, {high:.2f}]")
        gain = values["text→image MRR"] - first["text→image MRR"]
        low, high = paired(gain, values["owners"])
        print(f"| {rung} | {' | '.join(cells)} | {gain.mean():+.3f} [{low:+.3f}, {high:+.3f}] |")


if __name__ == "__main__":
    main()
