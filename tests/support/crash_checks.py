"""What must hold after a crash, and again when the operation was repeated."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
from support.crash_operations import MODEL, N_MORE, OPERATIONS, toy, vectors_of
from support.example_cases import make_case

from medembed.cases import Case
from medembed.index import open_index
from medembed.index.index_check import verify_indexes
from medembed.library import CaseLibrary, sweeping
from medembed.library.backup import restore
from medembed.library.verification import Check, CheckState, verify_files, verify_store

__all__ = ["Lost", "check_world", "require"]


class Lost(Exception):
    """Something acknowledged is gone, or something cannot be read."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Lost(what)


def _verify(library: CaseLibrary) -> list[Check]:
    checks = [*verify_store(library), *verify_files(library), *verify_indexes(library)]
    for check in checks:
        require(
            check.state in (CheckState.OK, CheckState.REPAIRED),
            f"{check.what}: {check.state.value}, {check.detail}",
        )
    return checks


def _check_library(folder: Path, told: list[str], base: dict[str, Case]) -> None:
    with CaseLibrary.open(folder) as library:
        _verify(library)
        there = {case.case_id: case for case in library.cases()}
        erased = {one for one, case in base.items() if case.patient_id == "P-001"}
        kept = {one for one in base if one in there}
        require(kept >= set(base) - erased, "a case from before is gone")
        require(not kept & erased or kept == set(base), "a patient is erased by half")
        for one in kept:
            require(repr(there[one]) == repr(base[one]), f"{one} has changed")
        if "erased" in told:
            require(not kept & erased, "an erased patient is there")
        if not kept & erased:
            for path in folder.rglob("*"):
                left = path.is_file() and b"P-001" in path.read_bytes()
                require(not left, f"{path.name} names an erased patient")
        for line in told:
            what, _, one = line.partition(" ")
            if what == "case":
                wanted = make_case(int(one.removeprefix("case-")))
                case = there.get(one)
                require(
                    case is not None
                    and (case.patient_id, case.findings, case.scans[0].sha256)
                    == (wanted.patient_id, wanted.findings, wanted.scans[0].sha256),
                    f"{one} was acknowledged",
                )
        if "source" in told:
            require(len(there) >= len(kept) + N_MORE, "an ingested case is gone")
        _check_vectors(library, told)


def _check_vectors(library: CaseLibrary, told: list[str]) -> None:
    stored = {
        space.fingerprint: dict(zip(*library.vectors(space.fingerprint, "image"), strict=True))
        for space in library.embedding_sets()
        if space.kind == "image"
    }
    for fingerprint, vectors in stored.items():
        require(all(np.isfinite(v).all() for v in vectors.values()), "a vector is not finite")
        index = open_index(library, fingerprint).index
        for one, vector in vectors.items():
            hits = index.search(vector[None], 1)
            same = hits.case_ids[0][0] == one or fingerprint != MODEL  # the toy's vectors tie
            require(same and hits.scores[0][0] > 1 - 1e-4, f"{one} does not find itself")
    acknowledged = [line.split(" ")[1] for line in told if line.startswith(("vector ", "stored "))]
    ids = library.find()
    first = vectors_of(len(ids), 5)
    for one in acknowledged:
        require(one in stored.get(MODEL, {}), f"the vector of {one} was acknowledged")
    for line in told:
        if line.startswith("vector "):
            one = line.split(" ")[1]
            require(
                bool(np.allclose(stored[MODEL][one], first[ids.index(one)], atol=1e-6)),
                f"the vector of {one} is another",
            )
    done = max(
        (int(line.split(" ")[1]) for line in told if line.startswith("embedded ")), default=0
    )
    if done:
        n_stored = sum(
            space.n_vectors
            for space in library.embedding_sets()
            if space.fingerprint == toy().fingerprint
        )
        require(n_stored >= done, f"{done} vectors were acknowledged, {n_stored} are there")


def check_world(name: str, world: Path, told: list[str], base: dict[str, Case]) -> float:
    """Check everything after a crash, and once more after the operation was repeated.

    Returns
    -------
    float
        Seconds until the library was open for the first time.
    """
    sweeping._YOUNG_SECONDS = 0.0  # no other writer is at work
    out = world / "out"
    began = time.perf_counter()
    if name == "create":
        CaseLibrary.open(out / "fresh", create="created" not in told).close()
    elif name == "restore":
        if (out / "again").exists() or "restored" in told:
            CaseLibrary.open(out / "again").close()
    else:
        CaseLibrary.open(world / "library").close()
    seconds = time.perf_counter() - began
    _check_library(world / "library", told, base)
    if (out / "again").exists():
        _check_library(out / "again", [], base)
    if "backup" in told or (out / "new.zip").exists():
        restore(out / "new.zip", out / "restored")
        _check_library(out / "restored", [], base)
        shutil.rmtree(out / "restored")
    OPERATIONS[name](world, told.append)
    _check_library(world / "library", told, base)
    if name == "restore":
        _check_library(out / "again", [], base)
    if name == "backup":
        restore(out / "new.zip", out / "restored")
        _check_library(out / "restored", [], base)
    with CaseLibrary.open(world / "library") as library:
        if name == "erase":
            require("P-001" not in library.patients().values(), "not erased")
    left = [path for path in sweeping.drafts(world / "library") if path.name.endswith(".writing")]
    require(not left, "a draft is left in the library")
    left = [path for path in out.glob(".*") if path.is_file() or any(path.iterdir())]
    require(not left, "a draft is left beside a backup")
    return seconds
