"""Whether a marked region finds more cases with what is in it than the whole image does.

    python tests/benchmarks/region_search.py LIBRARY [--split test] [--cases N] [--margin 0]

LIBRARY is a demonstration library with its cohort (``medembed demo LIBRARY --no-app``). Each
held-out case is the query of a search, once as a whole, and for each finding planted in it with the
box around the finding, which is known exactly: what has at least a quarter of its greatest effect
on the water path of the chest, widened by ``--margin`` of the image's edge. As a control, a
box of the same size is marked anywhere in the image. Printed is the share of the first ten hits,
all of other patients, that have the finding (P@10), in the whole library and among its held-out
cases alone; intervals resample the patients of the queries. *Several*: queries with more than
one finding, among which the region has to choose. *In words*: the finding's name as the query, by
similarity alone, which names what the image can only show. Interrupted, it reports on the cases
done so far, in an order drawn once. No figure depends on the load of the machine.

``--times N`` measures N searches by image file instead, each as a whole and by a region, on a
quiet machine.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from why import SIZE, WORDS, planted, studies_of

from evaluation.stats.bootstrap import PatientResampler
from medembed.cases import Case
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup, LookupHit, Region

K = 10
OWN = 10  # more than a patient has cases


@dataclass
class Asked:
    """P@10 of one finding of one case, by way of asking, and what is known of the case."""

    patient: str
    finding: str
    several: bool
    area: float
    scores: dict[str, float]


def box_of(region: np.ndarray, margin: float) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(region)
    ends = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    grown = np.array(ends) / SIZE + np.array([-1, -1, 1, 1]) * margin
    top, left, bottom, right = grown.clip(0, 1).tolist()
    return top, left, bottom, right


def moved(box: tuple[float, ...], rng: np.random.Generator) -> Region:
    """A box of the same size anywhere in the image."""
    height, width = box[2] - box[0], box[3] - box[1]
    top, left = rng.uniform(0, 1 - height), rng.uniform(0, 1 - width)
    return Region(top, left, top + height, left + width)


def ask(lookup: CaseLookup, case: Case, found: list, split: str, margin: float) -> list[Asked]:
    rng = np.random.default_rng(int(case.scans[0].sha256[:8], 16))
    several = len({label for label, _, _ in found}) > 1
    asked = []
    for label, side, region in found:
        box = box_of(region, margin)
        scores = {}
        marked = {"whole": None, "region": Region(*box)}
        marked["random"] = moved(box, rng)
        for name, one in marked.items():
            result = lookup.search(case=case.case_id, region=one, k=K)
            scores[name] = share(result, case, label)
            if name != "random":
                scores[f"{name}, side"] = share(result, case, label, side)
            held_out = lookup.search(vector=result.parts["case"], where=f"split={split}", k=K + OWN)
            scores[f"{name}, held-out"] = share(held_out, case, label)
        words = lookup.search(text=WORDS.get(label, label), literal=True, k=K + OWN)
        scores["words"] = share(words, case, label)
        area = (box[2] - box[0]) * (box[3] - box[1])
        asked.append(Asked(case.patient_id, label, several, area, scores))
    return asked


def share(hits: Sequence[LookupHit], case: Case, label: str, side: str = "") -> float:
    """Share of the first ten hits of other patients with a finding, and on this side if asked."""
    others = [hit.case for hit in hits if hit.case.patient_id != case.patient_id][:K]
    wanted = f"{label}:{side}" if side else label
    having = [wanted in {str(f) if side else f.label for f in one.findings} for one in others]
    return sum(having) / K


def mean(rows: list[Asked], name: str) -> float:
    return float(np.mean([row.scores[name] for row in rows]))


def ratio(rows: list[Asked], name: str, base: str) -> str:
    """The ratio of two means, with the interval over the patients of the queries."""
    table = np.array([[row.scores[name], row.scores[base]] for row in rows])
    point = table[:, 0].mean() / table[:, 1].mean() if table[:, 1].any() else np.nan
    resampler = PatientResampler(np.array([row.patient for row in rows]))
    draws = resampler.means(table)
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = resampler.interval(draws[:, 0] / draws[:, 1])
    return f"{point:.2f}" + ("" if ends is None else f" ({ends[0]:.2f} to {ends[1]:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", type=Path)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--cases", type=int, default=10**6)
    parser.add_argument("--margin", type=float, default=0.0)
    parser.add_argument("--times", type=int, default=0)
    arguments = parser.parse_args()
    asked: list[Asked] = []
    with CaseLibrary.open(arguments.library) as library, CaseLookup(library) as lookup:
        if arguments.times:
            report_times(library, lookup, arguments.times)
            return
        config, studies = studies_of(library)
        ids = library.split(arguments.split)
        drawn = np.random.default_rng(0).permutation(len(ids))[: arguments.cases]
        stopping: list[int] = []
        signal.signal(signal.SIGINT, lambda number, _: stopping.append(number))
        for done, case in enumerate(library.select([ids[at] for at in drawn])):
            if stopping:
                break
            print(f"\r{done} of {len(drawn)}", end="", file=sys.stderr, flush=True)
            stem, _, view = Path(case.scans[0].files[0]).stem.rpartition("-")
            found = list(planted(config, studies[stem], view.upper(), tolerance=0.0))
            asked += ask(lookup, case, found, arguments.split, arguments.margin)
    print(file=sys.stderr)
    report(asked)


def report_times(library: CaseLibrary, lookup: CaseLookup, n: int) -> None:
    files = [library.scan_files(case)[0] for case in library.select(library.split("test")[:n])]
    lookup.search(image=list(files[0]))  # loads model, index and reader
    seconds: dict[str, list[float]] = {"whole image": [], "region": []}
    box = Region(0.3, 0.2, 0.5, 0.45)
    for file in files:
        for name, region in (("whole image", None), ("region", box)):
            start = time.perf_counter()
            lookup.search(image=list(file), region=region)
            seconds[name].append(time.perf_counter() - start)
    seconds["the first region"] = [seconds["region"].pop(0)]
    for name, each in seconds.items():
        median, p95 = np.percentile(each, [50, 95]) * 1000
        print(f"{name}: median {median:.0f} ms, p95 {p95:.0f} ms of {len(each)}")


def report(asked: list[Asked]) -> None:
    print("| finding | queries, patients | box | whole | region | random box | in words | "
          "region / whole | random / whole |")  # fmt: skip
    print("|---" * 9 + "|")
    groups = {"all": lambda a: True, "several": lambda a: a.several, "one": lambda a: not a.several}
    groups |= {x: (lambda a, x=x: a.finding == x) for x in sorted({a.finding for a in asked})}
    for name, of in groups.items():
        rows = [a for a in asked if of(a)]
        if not rows:
            continue
        n = len({row.patient for row in rows})
        print(f"| {name} | {len(rows)}, {n} | {np.mean([r.area for r in rows]):.2f} | "
              f"{mean(rows, 'whole'):.3f} | {mean(rows, 'region'):.3f} | "
              f"{mean(rows, 'random'):.3f} | {mean(rows, 'words'):.3f} | "
              f"{ratio(rows, 'region', 'whole')} | "
              f"{ratio(rows, 'random', 'whole')} |")  # fmt: skip
    print(f"\nWith its side: {mean(asked, 'whole, side'):.3f} and "
          f"{mean(asked, 'region, side'):.3f}, "
          f"{ratio(asked, 'region, side', 'whole, side')}.")  # fmt: skip
    held_out = [f"{name}, held-out" for name in ("whole", "region", "random")]
    print(f"Among held-out cases alone: {', '.join(f'{mean(asked, n):.3f}' for n in held_out)}; "
          f"region / whole {ratio(asked, held_out[1], held_out[0])}.")  # fmt: skip


if __name__ == "__main__":
    main()
