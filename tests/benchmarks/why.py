"""Whether explanations of hits are faithful, and whether their regions are where findings are.

    python tests/benchmarks/why.py LIBRARY [--cases 120] [--skip 0] [--split test] [--keep]

LIBRARY is a demonstration library with its cohort (``medembed demo LIBRARY --no-app``). Held-out
cases are drawn in a fixed order, of which ``--skip`` leaves out the first. Each of their planted
findings is asked for in words ("right pleural effusion"), and each case is the query of a search.
Where a finding lies is known exactly: the water path of the chest with all findings, less that
without this one. A region hits if the
center of its peak cell lies within 15 of 224 pixels of what has at least a quarter of the finding's
greatest effect (the pointing game: Zhang et al., ECCV 2016, with their tolerance). ``--keep``
stores the outcome in the library, which hides the maps of a model that fails.
Interrupted, it reports on the cases done so far.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from evaluation.stats.bootstrap import PatientResampler
from medembed.attribution.case_images import CaseImages
from medembed.attribution.why import ImageWhy, NoteWhy, WhyState, why_image, why_note
from medembed.encoders.study_images import ScanSource
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.lookup.query_image import QueryImageReader
from medembed.lookup.usual_images import UsualImages
from medembed.lookup.why import average_vector, keep_map_test
from medembed.notes import asserted_findings, read_note
from medembed.scans import read_scan
from medembed.sources.synthetic.config import CohortConfig
from medembed.sources.synthetic.findings import build_chest
from medembed.sources.synthetic.plan import Study, plan_cohort
from medembed.sources.synthetic.projection import make_view, water_path

WORDS = {"effusion": "pleural effusion", "nodule": "lung nodule", "mass": "lung mass",
         "fracture": "rib fracture", "edema": "pulmonary edema",
         "fibrosis": "pulmonary fibrosis"}  # fmt: skip
SIZE = 112
TOLERANCE = 15 / 224
DIFFUSE = ("edema", "emphysema", "fibrosis", "cardiomegaly")


def studies_of(library: CaseLibrary) -> tuple[CohortConfig, dict[str, Study]]:
    kept = json.loads((library.path / "cohort/cohort.json").read_text())["config"]
    config = CohortConfig(**{name: value for name, value in kept.items() if name != "bias"})
    return config, {f"p{s.patient:06d}-{s.number}": s for s in plan_cohort(config)}


def planted(
    config: CohortConfig, study: Study, view_name: str, tolerance: float = TOLERANCE
) -> Iterator[tuple[str, str, Any]]:
    """Label, side and region (with the tolerance) of each finding of a frontal view."""
    chest = build_chest(study.build, study.pose, study.lesions, 0.5)
    order = study.views.index(view_name)
    rng = np.random.default_rng([config.seed, study.patient, study.number, 9, order])
    field = 2 * study.build.half_width + rng.uniform(80, 112) + (45 if view_name == "AP" else 0)
    view = make_view(view_name, chest, SIZE, field)
    whole = water_path(chest, view)
    for at, lesion in enumerate(study.lesions):
        if lesion.label != "other":
            rest = study.lesions[:at] + study.lesions[at + 1 :]
            less = water_path(build_chest(study.build, study.pose, rest, 0.5), view)
            effect = np.abs(whole - less)
            region = effect >= 0.25 * effect.max()
            near = ndimage.distance_transform_edt(~region) <= tolerance * SIZE
            yield lesion.label, lesion.side, near


def is_hit(why: ImageWhy, regions: list[Any]) -> bool:
    """Whether the peak of a map, shown or not, lies in one of the regions."""
    if why.weights is None:
        return False
    grid = np.array(why.weights.shape)
    peak = np.array(np.unravel_index(int(why.weights.argmax()), why.weights.shape))
    row, column = ((peak + 0.5) / grid * SIZE).astype(int)
    return any(bool(region[row, column]) for region in regions)


def remember_vectors() -> dict[bytes, np.ndarray]:
    """Encode each variant of an image once: those of single cells are the same for every query."""
    known: dict[bytes, np.ndarray] = {}
    encode = CaseImages._encoded

    def encoded(images: CaseImages, pixels: np.ndarray) -> np.ndarray:
        names = [hashlib.sha256(each.tobytes()).digest() for each in pixels]
        fresh = {name: at for at, name in enumerate(names) if name not in known}
        if fresh:
            rows = encode(images, pixels[list(fresh.values())])
            known.update(zip(fresh, rows, strict=True))
        return np.stack([known[name] for name in names])

    CaseImages._encoded = encoded
    return known


def interval(values: list[float], patients: list[str]) -> str:
    resampler = PatientResampler(np.array(patients))
    draws = resampler.means(np.array(values, dtype=float)[:, None])[:, 0]
    low, high = resampler.interval(draws) or (np.nan, np.nan)
    return f"{np.mean(values):+.3f} ({low:+.3f} to {high:+.3f})"


def gains(rows: list[tuple[str, ImageWhy | NoteWhy]], title: str) -> bool:
    """Print the gains over each control; returns whether all are above 0 with their intervals."""
    tested = [(who, why.faithfulness) for who, why in rows if why.faithfulness is not None]
    patients = [who for who, _ in tested]
    shown = np.mean([why.state is WhyState.SHOWN for _, why in rows])
    print(f"| {title} | {len(rows)}, {len(set(patients))} |", end="")
    above = True
    for control in tested[0][1].controls:
        for name in ("deletion", "insertion"):
            values = [getattr(test.gains(control), name) for _, test in tested]
            text = interval(values, patients)
            above &= float(text.split("(")[1].split(" ")[0]) > 0
            print(f" {text} |", end="")
    print(f" {shown:.2f} |", flush=True)
    return above


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", type=Path)
    parser.add_argument("--cases", type=int, default=120)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    with CaseLibrary.open(arguments.library) as library, CaseLookup(library) as lookup:
        config, studies = studies_of(library)
        model = lookup.model
        average = average_vector(lookup.index.index.vectors)
        ids = library.split(arguments.split)
        drawn = np.random.default_rng(0).permutation(len(ids))[arguments.skip : arguments.cases]
        images_of = QueryImageReader()
        usual = UsualImages(library, images_of, lookup.index.index.case_ids)
        words, queries, hits, notes = [], [], [], []
        pointed: list[tuple[str, str, bool, bool, float, bool]] = []
        together: list[tuple[str, bool, bool, float]] = []
        named: list[tuple[str, bool]] = []
        known = remember_vectors()
        stopping: list[int] = []
        signal.signal(signal.SIGINT, lambda number, _: stopping.append(number))
        for done, at in enumerate(drawn):
            if stopping:
                drawn = drawn[:done]
                break
            print(f"\r{done} of {len(drawn)}", end="", file=sys.stderr, flush=True)
            known.clear()
            (case,) = library.select([ids[at]])
            stem, _, view = Path(case.scans[0].files[0]).stem.rpartition("-")
            found = list(planted(config, studies[stem], view.upper()))
            scan = read_scan(library.scan_files(case)[0][0])
            images = CaseImages.of(model, [scan], [ScanSource(scan.view, scan.modality)])
            for label, side, region in found:
                text = f"{side} {WORDS.get(label, label)}".strip()
                towards = model.encode_notes([text])[0].astype(np.float64)
                why = why_image(images, lambda rows, to=towards - average: rows @ to, None, usual)
                words.append((case.patient_id, why))
                middle = bool(region[SIZE // 2, SIZE // 2])
                shown = why.state is WhyState.SHOWN
                pointed.append((case.patient_id, label, is_hit(why, [region]), shown,
                                float(region.mean()), middle))  # fmt: skip
                if case.note is None:
                    continue
                of_note = why_note(model, case.note, lambda rows, to=towards: rows @ to)
                if of_note.state is not WhyState.TOO_SHORT:
                    notes.append((case.patient_id, of_note))
                stated = label in {name for name, _ in asserted_findings(case.note)}
                if of_note.phrases and stated:
                    first = asserted_findings(read_note(of_note.phrases[0].text))
                    named.append((case.patient_id, label in {name for name, _ in first}))
            result = lookup.search(case=case.case_id, k=1)
            explained = lookup.why(result, 1)
            hits.append((case.patient_id, explained.hit))
            if explained.query is not None:
                queries.append((case.patient_id, explained.query))
                theirs = {finding.label for finding in result[0].case.findings}
                shared = [region for label, _, region in found if label in theirs]
                if shared:
                    share = float(np.any(shared, axis=0).mean())
                    together.append((case.patient_id, is_hit(explained.query, shared),
                                     explained.query.state is WhyState.SHOWN, share))  # fmt: skip
        images_of.close()
        print("| map | n, patients | deletion, random | insertion, random | "
              "deletion, biased | insertion, biased | shown |")  # fmt: skip
        print("|---" * 7 + "|")
        passed = gains(words, "image, words as the query")
        passed &= gains(queries, "query image, case as the query")
        passed &= gains(hits, "hit's image, case as the query")
        gains(notes, "sentences of the report, words as the query")

        print("\n| region of the finding asked for | n | hit | of those shown | "
              "chance | center |\n" + "|---" * 6 + "|")  # fmt: skip
        groups = {"all": lambda label: True, "local": lambda label: label not in DIFFUSE}
        groups |= {x: (lambda label, x=x: label == x) for x in sorted({p[1] for p in pointed})}
        for name, of in groups.items():
            rows = [p for p in pointed if of(p[1])]
            patients = [p[0] for p in rows]
            seen = [p[2] for p in rows if p[3]]
            print(f"| {name} | {len(rows)} | {interval([p[2] for p in rows], patients)} | "
                  f"{np.mean(seen) if seen else np.nan:.3f} of {len(seen)} | "
                  f"{np.mean([p[4] for p in rows]):.3f} | "
                  f"{np.mean([p[5] for p in rows]):.3f} |")  # fmt: skip
        seen = [t[1] for t in together if t[2]]
        print(f"\nA finding that query and first hit share, in the query's image: "
              f"{interval([t[1] for t in together], [t[0] for t in together])} of "
              f"{len(together)}; of those shown {np.mean(seen):.3f} of {len(seen)}; chance "
              f"{np.mean([t[3] for t in together]):.3f}")  # fmt: skip
        right = interval([n[1] for n in named], [n[0] for n in named])
        print(f"The first sentence shown states the finding asked for: {right} of {len(named)}")
        if arguments.keep:
            test = {"passed": bool(passed), "cases": len(drawn)}
            keep_map_test(library, lookup.fingerprint, test)


if __name__ == "__main__":
    main()
