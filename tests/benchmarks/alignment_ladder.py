"""The ladder of alignment methods on few pairs, rung by rung on the same folds; one command.

    python tests/benchmarks/alignment_ladder.py pairs DATA [--rungs NAME...] [--out FILE]
    python tests/benchmarks/alignment_ladder.py simulated [--rungs NAME...] [--out FILE]
    python tests/benchmarks/alignment_ladder.py labels DATA
    python tests/benchmarks/alignment_ladder.py cohort LIBRARY [--rungs NAME...] [--out FILE]

``pairs``: DATA has ``cxr_pairs``; five folds by ``group_id``, as ``real_pairs.py`` takes them. Each
rung is a named configuration, trained on the fold's other cases, and asked by the rule of
``medembed evaluate`` on the held-out ones. The interval of a difference is a paired bootstrap over
groups, the same resample for both rungs. ``simulated``: the same on other pairs, on which
``few-pairs`` was chosen: 750 simulated chest studies in five folds by patient, each trained on in
turn, and the next one asked. ``labels``: DATA has ``cxr_labels_nih``; thirds of the patients are
held out in turn, and P@5 compares label prompts with the frozen features as they are.
``cohort``: the ablation of the embedded cohort (``medembed demo LIBRARY --no-app`` makes it). With
``--out``, each row is kept as soon as it is done, and rows kept there are not computed again.
No time is measured.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ladder_rungs import COHORT, RUNGS, WAYS

from evaluation.retrieval.load_cases import load_cases
from evaluation.retrieval.tasks import image_to_image, image_to_text, text_to_image
from evaluation.retrieval.zero_shot import plain_queries, zero_shot_table
from medembed.config import load_config
from medembed.library import CaseLibrary, ingest
from medembed.model import DualEncoder, embed_library
from medembed.sources import open_source
from medembed.sources.synthetic import CohortConfig, write_cohort
from medembed.training import train

FOLDS = 5
FIRST = "starter, batches of 32 (before)"
TASKS = {"text_to_image": text_to_image, "image_to_text": image_to_text}
MEASURES = ("R@1", "R@5", "R@10", "MRR")
Values = dict[str, dict[str, Any]]
THIRDS = 3
FEW = 150
VIEWS = {"PA": 0.5, "AP": 0.25, "LATERAL": 0.25}


def table_of(source: Path, target: Path, split_of: Callable[[dict[str, str]], str]) -> None:
    """Copy a table with absolute paths and another split."""
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["split"] = split_of(row)
        parts = row["image_path"].split(";")
        row["image_path"] = ";".join(str((source.parent / part).resolve()) for part in parts)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def library_of(table: Path, folder: Path) -> CaseLibrary:
    """Ingest a table into a new library."""
    import subprocess

    command = [sys.executable, "-m", "medembed.cli", "ingest", str(folder), str(table), "--json"]
    subprocess.run(command, check=True, capture_output=True)
    return CaseLibrary.open(folder)


def not_exported(self: DualEncoder, *_: object) -> list[str]:
    """Export no ONNX file: vectors are made of cached features, and the model is thrown away."""
    for side in ("image", "text"):
        self._files.serving[side] = {"runtime": "torch", "reason": "ladder"}
    return []


def embedded(library: CaseLibrary, config: str, overrides: Sequence[str], name: str) -> DualEncoder:
    """Train one rung and embed the library with it."""
    DualEncoder.export = not_exported  # type: ignore[method-assign]
    report = train(library, load_config(config, [*overrides, f"name={name}"]))
    model = DualEncoder.load(report.folder)
    embed_library(library, model, cached=True)
    return model


def pair_libraries(data: Path, work: Path) -> list[CaseLibrary]:
    """Return the real pairs once for each fold by ``group_id``: its cases are the test split."""
    source = data / "cxr_pairs/cases.csv"
    with source.open(encoding="utf-8", newline="") as file:
        groups = sorted({row["group_id"] for row in csv.DictReader(file)})
    libraries = []
    for fold in range(FOLDS):

        def split_of(row: dict[str, str], fold: int = fold) -> str:
            place = groups.index(row["group_id"])
            return "test" if place % FOLDS == fold else "val" if place % 11 == 0 else "train"

        table = work / f"fold{fold}.csv"
        table_of(source, table, split_of)
        libraries.append(library_of(table, work / f"fold{fold}"))
    return libraries


def simulated_libraries(work: Path) -> list[CaseLibrary]:
    """Return simulated pairs once for each fold: a fifth trains, and the next fifth is asked."""
    if (work / f"fold{FOLDS - 1}").is_dir():
        return [CaseLibrary.open(work / f"fold{fold}") for fold in range(FOLDS)]
    config = CohortConfig(n_studies=FOLDS * FEW, seed=11, views=VIEWS)
    cohort = write_cohort(work / "cohort", config, workers=1)
    with CaseLibrary.open(work / "all", create=True) as library:
        ingest(library, open_source(cohort.dicom, "dicom", notes=cohort.reports))
        names = [name for split in ("train", "val", "test") for name in library.split(split)]
        cases = [case for case in library.select(sorted(names)) if case.note]
    place = {name: at for at, name in enumerate(sorted({case.patient_id for case in cases}))}
    libraries = []
    for fold in range(FOLDS):
        split = {fold: "train", (fold + 1) % FOLDS: "test"}
        library = CaseLibrary.open(work / f"fold{fold}", create=True)
        chosen = []
        for case in cases:
            at = place[case.patient_id]
            if name := split.get(at % FOLDS):
                name = "val" if name == "train" and at // FOLDS % 10 == 0 else name
                chosen.append(replace(case, split=name))
        library.add(chosen)
        libraries.append(library)
    return libraries


def measured(
    libraries: Sequence[CaseLibrary], cache: Path, rungs: Sequence[str], out: Path | None
) -> Values:
    """Return the values of every query of every rung, by task and measure, with its group.

    A rung that ``out`` holds is not run again, and each is written there once it is complete.
    """
    found: Values = json.loads(out.read_text()) if out and out.is_file() else {}
    for rung in rungs:
        if rung in found:
            continue
        values: dict[str, Any] = {}
        for fold, library in enumerate(libraries):
            if cache.is_dir():  # decoded and encoded once
                shutil.copytree(cache, library.path / "cache", dirs_exist_ok=True)
            model = embedded(library, *RUNGS[rung], re.sub(r"\W+", "-", rung).strip("-"))
            cases = load_cases(library, model.fingerprint, split="test")
            for task, run in TASKS.items():
                scores = run(cases, shuffles=0, repetitions=100).scores
                for measure in MEASURES:
                    kept = values.setdefault(f"{task} {measure}", [])
                    kept += scores.per_query[measure].tolist()
            owners = [f"{fold}-{owner}" for owner in cases.owners.tolist()]
            values.setdefault("owners", []).extend(owners)
            sys.stderr.write(f"{rung}: fold {fold + 1} of {FOLDS}\n")
            sys.stderr.flush()
            shutil.copytree(library.path / "cache", cache, dirs_exist_ok=True)
        found[rung] = values
        if out:
            out.write_text(json.dumps(found))
    for library in libraries:
        library.close()
    return {rung: found[rung] for rung in rungs}


def paired(values: np.ndarray, owners: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """Percentile interval of the mean of values, resampling owners."""
    _, at = np.unique(np.array(owners), return_inverse=True)
    n = int(at.max()) + 1
    sums, counts = np.bincount(at, values), np.bincount(at).astype(float)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=4000)
    low, high = np.percentile(drawn @ sums / (drawn @ counts), [2.5, 97.5])
    return float(low), float(high)


def print_ladder(found: Values) -> None:
    """Print a table for each direction."""
    first = FIRST if FIRST in found else next(iter(found))
    for task in TASKS:
        print(f"\n**{task.replace('_', ' ').capitalize()}**\n")
        print(f"| rung | {' | '.join(MEASURES)} | MRR beside the first row [95%] |")
        print("|---" * (len(MEASURES) + 2) + "|")
        for rung, values in found.items():
            cells = []
            for measure in MEASURES:
                column = np.array(values[f"{task} {measure}"])
                low, high = paired(column, values["owners"])
                cells.append(f"{column.mean():.3f} [{low:.2f}, {high:.2f}]")
            gain = np.array(values[f"{task} MRR"]) - np.array(found[first][f"{task} MRR"])
            low, high = paired(gain, values["owners"])
            cells.append(f"{gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
            print(f"| {rung} | {' | '.join(cells)} |")


def labels(data: Path, work: Path) -> None:
    """Print P@5 of label prompts beside the frozen features; every patient is held out once."""
    source = data / "cxr_labels_nih/cases.csv"
    with source.open(encoding="utf-8", newline="") as file:
        patients = list(dict.fromkeys(row["patient_id"] for row in csv.DictReader(file)))
    found: dict[str, list[Any]] = {way: [] for way in WAYS}
    held: list[str] = []
    for fold in range(THIRDS):

        def split_of(row: dict[str, str], fold: int = fold) -> str:
            place = patients.index(row["patient_id"])
            return "test" if place % THIRDS == fold else "val" if place % 7 == 0 else "train"

        table = work / f"labels{fold}.csv"
        table_of(source, table, split_of)
        library = library_of(table, work / f"labels{fold}")
        if fold:
            shutil.copytree(work / "cache", library.path / "cache", dirs_exist_ok=True)
        for number, (way, (config, overrides)) in enumerate(WAYS.items()):
            model = embedded(library, config, overrides, f"way{number}")
            cases = load_cases(library, model.fingerprint, split="test", with_notes=False)
            if way.startswith("raw"):
                cases = raw_features(library, model, cases)
            scores = image_to_image(cases, side=False, shuffles=0, repetitions=100).scores
            found[way].append(scores)
            sys.stderr.write(f"{way}: fold {fold + 1} of {THIRDS}\n")
        held += [f"{fold}-{cases.owners[row]}" for row in found[way][-1].queries.tolist()]
        shutil.copytree(library.path / "cache", work / "cache", dirs_exist_ok=True)
        library.close()
    print("| vectors | P@1 | P@5 [95%] | P@10 | chance | P@5 beside raw [95%] | queries |")
    print("|---" * 7 + "|")
    raw = np.concatenate([scores.per_query["P@5"] for scores in next(iter(found.values()))])
    for way, folds in found.items():
        of = {m: np.concatenate([s.per_query[m] for s in folds]) for m in ("P@1", "P@5", "P@10")}
        chance = sum(s.chance["P@5"] * s.n_queries for s in folds) / len(raw)
        low, high = paired(of["P@5"], held)
        less, more = paired(of["P@5"] - raw, held)
        print(
            f"| {way} | {of['P@1'].mean():.3f} | {of['P@5'].mean():.3f} [{low:.3f}, {high:.3f}] | "
            f"{of['P@10'].mean():.3f} | {chance:.3f} | {(of['P@5'] - raw).mean():+.3f} "
            f"[{less:+.3f}, {more:+.3f}] | {len(raw)} |"
        )


def raw_features(library: CaseLibrary, model: DualEncoder, cases: Any) -> Any:
    """Return the cases with the frozen features in place of the vectors."""
    from medembed.model.feature_cache import FeatureCache, image_key
    from medembed.model.mean_vectors import unit_rows
    from medembed.model.pixel_cache import PixelCache

    key = image_key(model.image_side(), model.preprocess)
    cache = FeatureCache(library.path / "cache", key)
    pixels = PixelCache(library.path / "cache", model.preprocess)
    chosen = list(library.select(cases.case_ids))
    pixels.fill(library, chosen, workers=1)
    rows = []
    for case in chosen:
        name = pixels.key_of(case.scans[0])
        if name in cache:
            rows.append(cache.get(name)[0])
            continue
        import torch

        first, count = pixels.span(case.scans[0])
        images = model.preprocess.normalize(pixels.rows(slice(first, first + count)))
        with torch.no_grad():
            rows.append(model.image_side().features(torch.from_numpy(images))[0].numpy())
    return replace(cases, images=unit_rows(np.stack(rows)))


def cohort(folder: Path, rungs: Sequence[str], kept: Path | None = None) -> None:
    """Print the ablation on the embedded cohort, row by row; ``kept`` holds the rows done."""
    done: dict[str, dict[str, Any]] = {}
    if kept and kept.is_file():
        done = json.loads(kept.read_text(encoding="utf-8"))
    columns = ("R@10", "beside the first row [95%]", "MRR", "beside the first row [95%]")
    nodule = "right nodule, left nodule: side AUC [95%]"
    print(f"| change | text→image {' | '.join(columns)} | image→text R@10 | MRR | P@5 | {nodule} |")
    print("|---" * 9 + "|")
    with CaseLibrary.open(folder) as library:
        for rung in rungs:
            name = f"ablation{list(COHORT).index(rung)}"
            if rung not in done:
                done[rung] = cohort_values(library, embedded(library, "demo", COHORT[rung], name))
                shutil.rmtree(library.path / "models" / name, ignore_errors=True)
                if kept:
                    kept.write_text(json.dumps(done), encoding="utf-8")
            print(cohort_row(rung, done[rung], done[rungs[0]]), flush=True)


def cohort_values(library: CaseLibrary, model: DualEncoder) -> dict[str, Any]:
    """Return what a row of the ablation needs, with the values of every query."""
    cases = load_cases(library, model.fingerprint, split="test")
    by_text = text_to_image(cases, shuffles=0).scores
    by_image = image_to_text(cases, shuffles=0).scores
    queries = [query for query in plain_queries() if query[0] == "nodule" and query[1]]
    table = zero_shot_table(
        model.encode_notes([text for _, _, text in queries]),
        queries,
        cases.images,
        cases.findings,
        cases.owners,
    )
    return {
        "owners": [str(cases.owners[row]) for row in by_text.queries.tolist()],
        "R@10": by_text.per_query["R@10"].tolist(),
        "MRR": by_text.per_query["MRR"].tolist(),
        "image to text": [by_image["R@10"], by_image["MRR"]],
        "P@5": image_to_image(cases, side=True, shuffles=0).scores["P@5"],
        "nodule": {row["side"]: [row["auc_side"], *(row["auc_side_ci"] or ())] for row in table},
    }


def cohort_row(rung: str, row: dict[str, Any], first: dict[str, Any]) -> str:
    """Return a line of the table, with differences from the first row paired over patients."""
    cells = [rung]
    for measure in ("R@10", "MRR"):
        values, gain = np.array(row[measure]), np.array(row[measure]) - np.array(first[measure])
        low, high = paired(values, row["owners"])
        cells.append(f"{values.mean():.3f} [{low:.2f}, {high:.2f}]")
        low, high = paired(gain, row["owners"])
        cells.append("" if row is first else f"{gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
    cells += [f"{value:.3f}" for value in (*row["image to text"], row["P@5"])]
    areas = []
    for side in ("right", "left"):
        area, *limits = row["nodule"][side]
        between = f" [{limits[0]:.2f}, {limits[1]:.2f}]" if limits else ""
        areas.append("too few" if area is None else f"{area:.3f}{between}")
    return f"| {' | '.join([*cells, ', '.join(areas)])} |"


def main() -> None:
    """Run what was asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("pairs", "simulated", "labels", "cohort"))
    parser.add_argument("place", type=Path, nargs="?", help="DATA or LIBRARY")
    parser.add_argument("--rungs", nargs="*", default=None)
    parser.add_argument("--out", type=Path, help="keep values here, to go on with")
    parser.add_argument("--cache", type=Path, help="keep pixels and features here between runs")
    parser.add_argument("--work", type=Path, help="keep the simulated libraries here between runs")
    given = parser.parse_args()
    known = COHORT if given.what == "cohort" else RUNGS
    for rung in given.rungs or ():
        if rung not in known:
            parser.error(f"no rung {rung!r}; there are: {', '.join(known)}")
    if given.place is None and given.what != "simulated":
        parser.error("give the folder DATA or LIBRARY")
    if given.what == "cohort":
        cohort(given.place, given.rungs or list(COHORT), given.out)
        return
    with tempfile.TemporaryDirectory() as folder:
        if given.what == "labels":
            labels(given.place.resolve(), Path(folder))
            return
        cache = given.cache or Path(folder) / "cache"
        if given.what == "simulated":
            libraries = simulated_libraries(given.work or Path(folder))
        else:
            libraries = pair_libraries(given.place.resolve(), Path(folder))
        found = measured(libraries, cache, given.rungs or list(RUNGS), given.out)
    print_ladder(found)


if __name__ == "__main__":
    main()
