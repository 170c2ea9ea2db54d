"""The novelty check: false alarms on held-out patients, and the share of foreign queries found.

    python tests/benchmarks/novelty.py LIBRARY [--foreign 60] [--vectors] [--real FOLDER ...]
        [--visitors FOLDER ...] [--captions FILE]

LIBRARY is a demonstration library with its cohort (``medembed demo LIBRARY --no-app``); it is
copied, and the copy is changed. Its patients are dealt to folds. For each fold, a copy without
these patients is calibrated, and the patients ask: with their images, whole reports, words of their
reports, and both. Queries by case are asked by the cases that stay. A few chest CTs are added to
each copy, so that foreign cases can be asked by case too; other CTs ask as images.

``--real`` takes folders of real radiographs (``cases.csv`` with ``patient_id`` and ``image_path``)
and measures the image test on them alone, in ten random thirds of their patients; ``--visitors``
asks the first of them with images of other hospitals. ``--captions`` takes a table of real captions
(``pmc_id``, ``caption``) and measures the word test on them alone.

``--vectors`` also measures scores of the model's vectors on the foreign images, calibrated on the
validation cases.

Intervals are 95%: of own queries by drawing patients with replacement; of foreign ones exact, over
the patients, CT cases or texts that they come from. No figure depends on the load of the machine.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import foreign_queries as foreign
import numpy as np
from PIL import Image
from scipy import stats

from medembed.cases import Case, ScanRef
from medembed.embeddings import Embeddings
from medembed.library import CaseLibrary, ingest
from medembed.lookup.conformal import ALPHA, p_value
from medembed.lookup.image_novelty import _standardized, image_scores, thumbnail
from medembed.lookup.messages import Novelty
from medembed.lookup.novelty_calibration import calibrate_novelty
from medembed.lookup.novelty_check import NoveltyCheck
from medembed.lookup.query import Query
from medembed.lookup.word_novelty import FEWEST_WORDS, WORD_CLASSES, words_of
from medembed.model import DualEncoder
from medembed.notes import read_note
from medembed.scans import Scan, ScanReader
from medembed.sources import open_source
from medembed.sources.synthetic import CohortConfig, write_cohort

DRAWS = 2000
TEXTS = {
    *foreign.OWN_WORDS, *foreign.OTHER_NAMES, *foreign.WORDS, *foreign.OTHER_PARTS,
    *foreign.NO_MEDICINE, *foreign.OTHER_LANGUAGES,
}  # fmt: skip


class Tally:
    """Whether queries of a kind were called unlike, by patient."""

    def __init__(self) -> None:
        self.called: dict[str, list[tuple[str, bool]]] = defaultdict(list)
        self.undecided: dict[str, int] = defaultdict(int)

    def add(self, kind: str, patient: str, state: Novelty) -> None:
        if state is Novelty.CANNOT_TELL:
            self.undecided[kind] += 1
        self.called[kind].append((patient, state is Novelty.UNLIKE))

    def show(self, title: str, by_patient: bool) -> None:
        print(f"\n| {title} | queries | patients or texts | unlike | 95% interval | cannot tell |")
        print("|---|---|---|---|---|---|")
        for kind, called in self.called.items():
            share = np.mean([unlike for _, unlike in called])
            low, high = over_patients(called) if by_patient else exact(called)
            patients = len({patient for patient, _ in called})
            print(
                f"| {kind} | {len(called)} | {patients} | {share:.1%} | {low:.1%} to {high:.1%} "
                f"| {self.undecided[kind]} |"
            )
        for kind, called in self.called.items():
            wrong = {text for text, unlike in called if unlike == by_patient} & TEXTS
            if wrong:
                print(f"\n{kind}, answered wrongly: {'; '.join(sorted(wrong))}")


def over_patients(called: list[tuple[str, bool]]) -> tuple[float, float]:
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for patient, unlike in called:
        sums[patient][0] += unlike
        sums[patient][1] += 1
    table = np.array(list(sums.values()))
    rng = np.random.default_rng(0)
    draws = table[rng.integers(len(table), size=(DRAWS, len(table)))].sum(1)
    low, high = np.quantile(draws[:, 0] / draws[:, 1], (0.025, 0.975))
    return float(low), float(high)


def exact(called: list[tuple[str, bool]]) -> tuple[float, float]:
    """Interval of the share of patients or texts all of whose queries were called unlike."""
    every: dict[str, bool] = defaultdict(lambda: True)
    for patient, unlike in called:
        every[patient] &= unlike
    interval = stats.binomtest(sum(every.values()), len(every)).proportion_ci()
    return interval.low, interval.high


def without(source: Path, target: Path, patients: list[str]) -> None:
    """Copy a library's cases except those of some patients; models and vectors are not needed."""
    target.mkdir()
    for name in ("cache", "cohort"):
        (target / name).symlink_to(source / name)
    shutil.copy(source / "library.sqlite", target)
    with CaseLibrary.open(target) as library, library.database.write() as db:
        db.executemany("DELETE FROM cases WHERE patient_id = ?", [(p,) for p in patients])


def one_fold(
    library: CaseLibrary, held_out: list, scans: dict[str, Scan], volumes: dict[str, Scan],
    n_foreign: int, fold: int, own: Tally, strange: Tally,
) -> None:  # fmt: skip
    made = calibrate_novelty(library, workers=1)
    print(
        f"fold {fold}: {len(library)} cases, calibrated on {made.to_json()['patients']}", flush=True
    )
    check = NoveltyCheck(library)
    rng = np.random.default_rng(fold)

    def state(
        text: str | None = None, scan: Scan | None = None, case: str | None = None
    ) -> Novelty:
        query = Query.of(text, scan, case, None, None, 1)
        patients = [library.case(case).patient_id] if case else []
        given = {} if scan is None else {"image": scan}
        return check.judge(query, given, patients, len(library)).state

    for case in held_out:
        scan, note = scans[case.case_id], case.note.text if case.note else ""
        own.add("image", case.patient_id, state(scan=scan))
        words = words_of(note)
        if not words:
            continue
        own.add("whole report", case.patient_id, state(note))
        own.add("image and report", case.patient_id, state(note, scan))
        for kind, (fewest, most) in WORD_CLASSES.items():
            if len(words) >= fewest:
                n = int(rng.integers(fewest, min(most, len(words)) + 1))
                at = int(rng.integers(len(words) - n + 1))
                own.add(kind, case.patient_id, state(" ".join(words[at : at + n])))
    ct = library.find("modality=CT")
    for case in library.cases():
        if case.case_id not in ct:
            own.add("case", case.patient_id, state(case=case.case_id))
    for text in foreign.OWN_WORDS:
        own.add("query in a reader's words", text, state(text))
    for text in foreign.OTHER_NAMES:
        own.add("a finding by another name", text, state(text))

    asking = [held_out[i] for i in rng.permutation(len(held_out))[:n_foreign]]
    for name, change in foreign.CHANGED.items():
        for case in asking:
            changed = change(scans[case.case_id], rng)
            strange.add(name, case.patient_id, state(scan=changed))
            strange.add(f"{name}, with its report", case.patient_id, state(case.note.text, changed))
    for case_id in ct:
        strange.add("CT of the archive, by case", case_id, state(case=case_id))
    for name, volume in volumes.items():
        strange.add("CT, volume", name, state(scan=volume))
        at = int(rng.uniform(0.15, 0.85) * len(volume.pixels))
        one = Scan(volume.pixels[at], units=volume.units)
        strange.add("CT, one slice", name, state(scan=one))
    for text in foreign.WORDS:
        strange.add("words about something else", text, state(text))
    for text in foreign.OTHER_PARTS:
        strange.add("a finding of another part of the body", text, state(text))
    for text in foreign.OTHER_LANGUAGES:
        strange.add("words in another language", text, state(text))
    for text in foreign.REPORTS:
        strange.add("whole report of something else or in another language", text, state(text))
        strange.add("own image, foreign report", text, state(text, scans[asking[0].case_id]))


def residual(images: np.ndarray, reference: np.ndarray, components: int) -> np.ndarray:
    """Distance from the reference's principal subspace: the way not taken."""
    center = reference.mean(0)
    _, _, axes = np.linalg.svd(reference - center, full_matrices=False)
    inside = (images - center) @ axes[:components].T
    return ((images - center) ** 2).sum(1) - (inside**2).sum(1)


def radiographs(folder: Path) -> tuple[list[Scan], list[str], list[str]]:
    """Images, patients and modalities of a table of real images."""
    scans, patients, modalities = [], [], []
    with (folder / "cases.csv").open() as file:
        for row in csv.DictReader(file):
            picture = Image.open(folder / row["image_path"].split(";")[0]).convert("L")
            scans.append(Scan(np.asarray(picture, np.float32)))
            patients.append(row["patient_id"])
            modalities.append(row.get("modality") or "XR")
    return scans, patients, modalities


def visitors(archive: Path, folder: Path) -> None:
    """Images of other hospitals against an archive, in ten deals of its patients."""
    own, patients, _ = radiographs(archive)
    scans, _, modalities = radiographs(folder)
    rows = np.stack([thumbnail(scan) for scan in own])
    asked = np.stack([thumbnail(scan) for scan in scans])
    rng, shares = np.random.default_rng(0), defaultdict(list)
    for _ in range(10):
        third = rng.permuted(np.arange(len(set(patients))) % 3)
        of = dict(zip(sorted(set(patients)), third, strict=True))
        part = np.array([of[owner] for owner in patients])
        calibration = image_scores(rows[part != 0], rows[part == 0])
        p = np.array([p_value(calibration, each) for each in image_scores(asked, rows[part == 0])])
        for modality in set(modalities):
            here = np.array([each == modality for each in modalities])
            shares[modality, int(here.sum())].append(float((p[here] <= ALPHA).mean()))
    for (modality, n), found in sorted(shares.items()):
        print(f"\n{n} {modality} of {folder.name} in {archive.name}: {np.mean(found):.1%} unlike "
              f"({min(found):.1%} to {max(found):.1%})")  # fmt: skip


def real(folder: Path) -> None:
    """The image test alone on real radiographs: a third reference, a third calibration."""
    scans, patients, _ = radiographs(folder)
    owners, rng = np.array(patients), np.random.default_rng(0)
    rows = {"own": np.stack([thumbnail(scan) for scan in scans])}
    for name, change in foreign.CHANGED.items():
        rows[name] = np.stack([thumbnail(change(scan, rng)) for scan in scans[:150]])
    scores = {"fifth nearest": image_scores}
    for n in (10, 40):
        scores[f"outside {n} components"] = lambda images, reference, n=n: residual(
            _standardized(images), _standardized(reference), n
        )
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(10):
        third = rng.permuted(np.arange(len(set(patients))) % 3)
        of = dict(zip(sorted(set(patients)), third, strict=True))
        part = np.array([of[owner] for owner in owners])
        reference = rows["own"][part == 0]
        _, first = np.unique(owners[part == 1], return_index=True)  # one image a patient
        for way, score in scores.items():
            calibration = score(rows["own"][part == 1][first], reference)
            for name, images in rows.items():
                asked = images[part == 2] if name == "own" else images
                p = np.array([p_value(calibration, each) for each in score(asked, reference)])
                shares[way, name].append(float((p <= ALPHA).mean()))
    print(f"\n{folder.name}: {len(scans)} images of {len(set(patients))} patients, unlike:\n")
    print("| query | " + " | ".join(scores) + " |\n|---|" + "---|" * len(scores))
    for name in rows:
        cells = [shares[way, name] for way in scores]
        line = " | ".join(f"{np.mean(c):.1%} ({min(c):.1%} to {max(c):.1%})" for c in cells)
        print(f"| {name} | {line} |")


def captions(file: Path) -> None:
    """The word test alone on real captions; articles take the place of patients."""
    rng = np.random.default_rng(0)
    with file.open() as opened:
        rows = [(row["pmc_id"].split("_")[0], row["caption"]) for row in csv.DictReader(opened)]
    articles = sorted({article for article, _ in rows})
    gone = {articles[i] for i in rng.permutation(len(articles))[: len(articles) // 3]}
    own, strange = Tally(), Tally()
    with (
        tempfile.TemporaryDirectory() as held,
        CaseLibrary.create(Path(held) / "library") as library,
    ):
        library.add(
            Case(f"c{at}", article, (ScanRef(("none.png",), f"{at:064x}"),), read_note(text))
            for at, (article, text) in enumerate(rows)
            if article not in gone and words_of(text)
        )
        made = calibrate_novelty(library, workers=1)
        check = NoveltyCheck(library)

        def state(text: str) -> Novelty:
            query = Query.of(text, None, None, None, None, 1)
            return check.judge(query, None, [], len(library)).state

        asked = [row for row in rows if row[0] in gone and words_of(row[1])]
        for at in rng.permutation(len(asked))[:1500]:
            article, text = asked[at]
            words = words_of(text)
            if len(text.split()) >= max(made.fewest_words, FEWEST_WORDS):
                own.add("whole caption of 20 words or more", article, state(text))
            for kind, (fewest, most) in WORD_CLASSES.items():
                if len(words) >= fewest:
                    n = int(rng.integers(fewest, min(most, len(words)) + 1))
                    first = int(rng.integers(len(words) - n + 1))
                    own.add(kind, article, state(" ".join(words[first : first + n])))
        for text in foreign.NO_MEDICINE:
            strange.add("words outside medicine", text, state(text))
        for text in foreign.OTHER_LANGUAGES:
            strange.add("words in another language", text, state(text))
        for text in foreign.REPORTS[4:]:
            strange.add("whole text in another language, or a recipe", text, state(text))
        print(f"\n{file.parent.name}: {len(library)} captions, {made.to_json()['patients']}")
    own.show("captions", by_patient=True)
    strange.show("foreign to captions", by_patient=False)


def by_vectors(library: CaseLibrary, scans: dict[str, Scan], n_foreign: int) -> None:
    """The same test with scores of the model's vectors: the way not taken."""
    model = DualEncoder.load(library.path / "models" / str(library.active_model))
    images = Embeddings.from_library(library, model.fingerprint, "image")
    patient_of, split = library.patients(), set(library.split("val"))
    owners = np.array([patient_of[name] for name in images.case_ids])
    cosines = images.vectors @ images.vectors.T
    cosines[owners[:, None] == owners[None]] = -np.inf
    is_val = np.array([name in split for name in images.case_ids])
    learned = images.vectors[~is_val]

    def scored(vectors: np.ndarray, best: np.ndarray) -> dict[str, np.ndarray]:
        own = {f"outside {n} components": residual(vectors, learned, n) for n in (10, 30)}
        return {"best cosine": -best, **own}

    calibration = scored(images.vectors[is_val], cosines[is_val].max(1))
    rng, names = np.random.default_rng(0), list(scans)
    asking = [scans[names[i]] for i in rng.permutation(len(names))[:n_foreign]]
    print("\n| foreign image, by vectors | " + " | ".join(calibration) + " |")
    print("|---|" + "---|" * len(calibration))
    for name, change in foreign.CHANGED.items():
        vectors = model.encode_scans([change(scan, rng) for scan in asking])
        found = scored(vectors, (vectors @ images.vectors.T).max(1))
        cells = [
            np.mean([p_value(calibration[way], each) <= ALPHA for each in found[way]])
            for way in calibration
        ]
        print(f"| {name} | " + " | ".join(f"{share:.0%}" for share in cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--foreign", type=int, default=60, help="foreign images of a kind and fold")
    parser.add_argument("--vectors", action="store_true", help="also by the model's vectors")
    parser.add_argument("--real", type=Path, nargs="*", default=[])
    parser.add_argument(
        "--visitors", type=Path, nargs="*", default=[], help="ask the first of --real"
    )
    parser.add_argument("--captions", type=Path, help="a table of real captions")
    given = parser.parse_args()
    own, strange = Tally(), Tally()
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        source = folder / "library"
        shutil.copytree(given.library, source, ignore=shutil.ignore_patterns("models", "cohort"))
        (source / "cache").mkdir(exist_ok=True)
        (source / "cohort").symlink_to(given.library.absolute() / "cohort")
        ct = write_cohort(
            folder / "ct",
            CohortConfig(n_studies=6, seed=77, ct_fraction=1.0, ct_size=64),
            workers=1,
        )
        with CaseLibrary.open(source) as library:
            cases = list(library.cases())
            files = [str(library.scan_files(case)[0][0]) for case in cases]
            ingest(library, open_source(ct.dicom, "dicom", notes=ct.reports))
        more = CohortConfig(n_studies=40, seed=78, ct_fraction=1.0, ct_size=64)
        series = sorted({file.parent for file in write_cohort(folder / "more", more, workers=1)
                         .dicom.rglob("*.dcm")})  # fmt: skip
        with ScanReader(workers=2) as reader:
            volumes = {one.name: reader.read([*map(str, sorted(one.iterdir()))]) for one in series}
            read = reader.map("read", files)
            scans = {case.case_id: scan for case, scan in zip(cases, read, strict=True)}
        patients = sorted({case.patient_id for case in cases})
        deal = np.random.default_rng(0).permutation(len(patients)) % given.folds
        for fold in range(given.folds):
            gone = [patient for patient, at in zip(patients, deal, strict=True) if at == fold]
            target = folder / f"fold-{fold}"
            without(source, target, gone)
            with CaseLibrary.open(target) as library:
                held_out = [case for case in cases if case.patient_id in gone]
                one_fold(library, held_out, scans, volumes, given.foreign, fold, own, strange)
    own.show(f"own queries (alpha {ALPHA:.0%})", by_patient=True)
    strange.show("foreign queries", by_patient=False)
    if given.vectors:
        with CaseLibrary.open(given.library) as library:
            test = {name: scans[name] for name in library.split("test")}
            by_vectors(library, test, given.foreign)
    for each in given.real:
        real(each)
    for each in given.visitors:
        visitors(given.real[0], each)
    if given.captions:
        captions(given.captions)


if __name__ == "__main__":
    main()
