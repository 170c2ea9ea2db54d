"""Gate G5: is a fair ranking left alone, and a group that is shown too little found?

Run on a quiet machine::

    OMP_NUM_THREADS=1 python tests/simulation/audit_gates_exposure.py --cohorts 1000

Rankings are drawn, not computed: each query gets its hits at random from the other patients'
cases, in proportion to a case's attraction. ``fair``: all alike; ``fair with hubs``: log-normal by
patient, whatever the group; ``fair given relevance``: queries ask for the common finding, which one
group has more of, and seven hits in ten or more have it; ``planted``: cases of a group of 5% of
patients attract .8 times as much.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.relevance import SharedTrait
from evaluation.sections import assess_exposure

SETTINGS = ("fair", "fair with hubs", "fair given relevance", "planted", "planted with hubs")


def drawn_hits(
    rng: np.random.Generator,
    owner: NDArray[np.int64],
    attraction: NDArray[np.float64],
    k: int,
    kind: NDArray[np.int64] | None = None,
    loyalty: float = 0.7,
) -> NDArray[np.int64]:
    """Hits of every case as a query: distinct, of other patients; of its own kind with ``loyalty``.

    Items come one by one in proportion to attraction, anew where one was there or is the patient's.
    """
    n = len(owner)
    pools = {0: np.arange(n)} if kind is None else {}
    if kind is not None:
        pools = {int(c): np.flatnonzero(kind == c) for c in np.unique(kind)}
    edges = {c: np.cumsum(attraction[pool]) for c, pool in pools.items()}
    whole = np.cumsum(attraction)
    hits = np.full((n, k), -1)
    for rank in range(k):
        todo = np.arange(n)
        within = np.zeros(n, dtype=bool) if kind is None else rng.random(n) < loyalty
        while len(todo):
            draw = np.searchsorted(whole, rng.random(len(todo)) * whole[-1])
            if kind is not None:
                for c, pool in pools.items():
                    here = within[todo] & (kind[todo] == c)
                    edge = edges[c]
                    draw[here] = pool[np.searchsorted(edge, rng.random(here.sum()) * edge[-1])]
            bad = (owner[draw] == owner[todo]) | (hits[todo] == draw[:, None]).any(axis=1)
            hits[todo[~bad], rank] = draw[~bad]
            todo = todo[bad]
    return hits


def cohort(rng: np.random.Generator, setting: str, n_patients: int, k: int = 10):
    """Hits, patients who ask, patients of the gallery, groups and (or None) relevance."""
    owner = np.repeat(
        np.arange(n_patients), 1 + rng.negative_binomial(1.25, 1.25 / 3.75, n_patients)
    )
    group = (rng.permutation(n_patients) < 0.05 * n_patients)[owner]
    attraction = np.ones(len(owner))
    if "hubs" in setting:
        attraction = np.exp(0.5 * rng.normal(size=n_patients))[owner]
    if "planted" in setting:
        attraction = np.where(group, 0.8, 1.0) * attraction
    if "relevance" not in setting:
        return drawn_hits(rng, owner, attraction, k), owner, owner, group, None
    share = np.where(group[:, None], [0.7, 0.2, 0.1], [0.4, 0.3, 0.3])
    kind = np.minimum((rng.random(len(owner))[:, None] > np.cumsum(share, axis=1)).sum(axis=1), 2)
    hits = drawn_hits(rng, owner, attraction, k, kind)
    asked = kind == 0
    traits = np.eye(3, dtype=bool)[kind]
    return hits[asked], owner[asked], owner, group, SharedTrait(traits[asked], traits)


def flags(setting: str, cohorts: int, seed: int, n_patients: int, permutations: int = 500):
    """How often the group is flagged (p), by its verdict, and by the archive's share alone."""
    rng = np.random.default_rng([seed, SETTINGS.index(setting)])
    found = np.zeros((cohorts, 4))
    for number in range(cohorts):
        hits, asking, owner, group, relevant = cohort(rng, setting, n_patients)
        rows = assess_exposure(
            hits,
            asking,
            owner,
            {"made": np.where(group, "few", "many")},
            relevant=relevant,
            permutations=permutations,
            repetitions=200,
            seed=number,
        ).rows
        row = rows[0]
        ratio = row.ratio if row.ratio_given_relevance is None else row.ratio_given_relevance
        found[number] = (
            row.p <= 0.05,
            row.verdict in ("exceeds", "differs"),
            row.p_archive <= 0.05,
            ratio,
        )
    means = found.mean(axis=0)
    return {
        "flagged_p": means[0],
        "flagged_verdict": means[1],
        "flagged_by_archive_share": means[2],
        "ratio_mean": means[3],
        "standard_error": float(np.sqrt(means[0] * (1 - means[0]) / cohorts)),
        "ratio_standard_error": float(found[:, 3].std() / np.sqrt(cohorts)),
        "cohorts": cohorts,
        "query_patients": n_patients,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patients", type=int, default=2000)
    options = parser.parse_args()
    print(
        json.dumps(
            {
                "gate": "G5",
                "seed": options.seed,
                **{
                    name: flags(
                        name,
                        options.cohorts,
                        options.seed,
                        400 if "relevance" in name else options.patients,
                    )
                    for name in SETTINGS
                },
            }
        )
    )


if __name__ == "__main__":
    main()
