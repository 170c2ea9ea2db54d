"""Patients, their findings, and the course of these from study to study."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from medembed.notes import SIDED_FINDINGS
from medembed.sources.synthetic.body import Build, Pose, draw_build
from medembed.sources.synthetic.config import PREVALENCE, CohortConfig
from medembed.sources.synthetic.draw import degree_of, draw_lesion, draw_support
from medembed.sources.synthetic.lesion import Lesion
from medembed.sources.synthetic.scanners import SITES
from medembed.sources.synthetic.vessels import N_TREES

__all__ = ["Entry", "Study", "plan_cohort", "uid_of"]

RACES = ("white", "black", "asian", "other", "unknown")
_RACE_SHARES = (0.52, 0.20, 0.14, 0.08, 0.06)


@dataclass(frozen=True)
class Entry:
    """A finding in one study.

    Parameters
    ----------
    lesion : Lesion
    change : {"", "new", "increased", "decreased", "unchanged"}
        Compared with the previous study; empty if there is none.
    status : {"present", "uncertain", "omitted"}
        How the report states it.
    """

    lesion: Lesion
    change: str = ""
    status: str = "present"


@dataclass(frozen=True)
class Study:
    """One study, with everything that image, header and report need.

    Parameters
    ----------
    patient, number : int
        Number of the patient, and of the study of this patient, from 0.
    study_uid, accession : str
    when : date
    prior : date or None
        Date of the previous study.
    sex, race, site, scanner : str
    age : int
        Years.
    views : tuple of str
        ``"PA"``, ``"AP"``, ``"LATERAL"`` or ``"CT"``.
    build, pose
    entries : tuple of Entry
    resolved : tuple of Lesion
        Findings of the previous study that have resolved.
    noise : float
        Factor on the noise of the images.
    """

    patient: int
    number: int
    study_uid: str
    accession: str
    when: date
    prior: date | None
    sex: str
    race: str
    site: str
    scanner: str
    age: int
    views: tuple[str, ...]
    build: Build
    pose: Pose
    entries: tuple[Entry, ...]
    resolved: tuple[Lesion, ...]
    noise: float

    @property
    def lesions(self) -> tuple[Lesion, ...]:
        """All findings of the chest, reported or not."""
        return tuple(e.lesion for e in self.entries)


def uid_of(*parts: object) -> str:
    """Derive a UID under 2.25 (PS3.5 B.2) from the text of the parts."""
    digest = hashlib.sha256("|".join(str(p) for p in parts).encode()).digest()
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | (0x4 << 76)  # the form of a version 4 UUID
    number = number & ~(0x3 << 62) | (0x2 << 62)
    return f"2.25.{number}"


def plan_cohort(config: CohortConfig) -> Iterator[Study]:
    """Plan every study of a cohort, patient by patient.

    Parameters
    ----------
    config : CohortConfig

    Yields
    ------
    Study
        ``config.n_studies`` of them; the last patient's may be cut short.
    """
    left, patient = config.n_studies, 0
    while left > 0:
        for study in _patient(config, patient)[:left]:
            left -= 1
            yield study
        patient += 1


def _patient(config: CohortConfig, patient: int) -> list[Study]:
    """All studies of one patient."""
    rng = np.random.default_rng([config.seed, patient, 1])
    sex = str(rng.choice(["F", "M"]))
    age = float(np.clip(rng.normal(60, 17), 19, 95))
    race = str(rng.choice(RACES, p=_RACE_SHARES))
    site = str(rng.choice(list(SITES)))
    build = draw_build(rng, sex, age, N_TREES)
    count = int(rng.choice([1, 2, 3, 4], p=[0.48, 0.28, 0.16, 0.08]))
    day = date(2015, 1, 1) + timedelta(days=int(rng.integers(0, 2600)))
    traits = _traits(rng, age, build)
    studies: list[Study] = []
    lesions: list[Lesion] = []
    for number in range(count):
        prior = studies[-1].when if studies else None
        gap = int(rng.choice([1, 2, 5, 14, 45, 120, 300]) + rng.integers(0, 4)) if prior else 0
        day += timedelta(days=gap)
        age += gap / 365.25
        scanner = str(rng.choice([s.name for s in SITES[site]]))
        member = config.bias is not None and config.bias.applies(
            sex=sex, race=race, site=site, scanner=scanner, age=int(age)
        )
        views = _views(config, rng)
        fresh = _new(config, rng, age, member, lesions, follow_up=prior is not None)
        kept, changes, resolved = _evolve(rng, lesions, gap)
        fresh = [x for x in fresh if not _clash(x, kept)]
        before = bool(studies)
        lesions = kept + fresh
        if any(x.kind == "endotracheal tube" for x in lesions):
            views = tuple("AP" if v in ("PA", "LATERAL") else v for v in views)[:1]
        entries = [Entry(x, c) for x, c in zip(kept, changes, strict=True)]
        entries += [Entry(x, "new" if before else "") for x in fresh]
        entries = [_reported(config, rng, e, member) for e in entries]
        entries += [Entry(x) for x in traits]
        supine = "AP" in views and rng.random() < 0.5
        studies.append(
            Study(
                patient=patient,
                number=number,
                study_uid=uid_of(config.seed, patient, number, "study"),
                accession=f"SYN{config.seed:02d}{patient:06d}{number}",
                when=day,
                prior=prior,
                sex=sex,
                race=race,
                site=site,
                scanner=scanner,
                age=int(age),
                views=views,
                build=build,
                pose=_pose(rng, views, supine=supine),
                entries=tuple(entries),
                resolved=tuple(resolved),
                noise=config.bias.noisier_images if member and config.bias else 1.0,
            )
        )
    return studies


def _traits(rng: np.random.Generator, age: float, build: Build) -> list[Lesion]:
    """Permanent traits that are not findings of the vocabulary."""
    traits = []
    if age > 50 and rng.random() < 0.09:
        traits.append(Lesion("other", kind="sternotomy", seed=int(rng.integers(2**31))))
    if rng.random() < 0.10:
        side, place = str(rng.choice(["left", "right"])), str(rng.choice(["upper", "mid", "lower"]))
        seed = int(rng.integers(2**31))
        traits.append(Lesion("other", side, place, kind="granuloma", seed=seed))
    if build.knob_calcified:
        traits.append(Lesion("other", kind="calcified aorta"))
    return traits


def _views(config: CohortConfig, rng: np.random.Generator) -> tuple[str, ...]:
    names = sorted(config.views)
    weights = np.array([config.views[n] for n in names], dtype=float)
    chosen = str(rng.choice(names, p=weights / weights.sum()))
    ct = rng.random() < config.ct_fraction
    return ("CT",) if ct else tuple(chosen.split("+"))


def _pose(rng: np.random.Generator, views: tuple[str, ...], *, supine: bool) -> Pose:
    """Draw position, breath and rotation."""
    frontal_ap = "AP" in views
    shallow = rng.random() < (0.35 if frontal_ap else 0.12)
    breath = rng.uniform(0.74, 0.84) if shallow else rng.uniform(0.91, 1.02)
    turned = rng.random() < 0.12
    far = float(rng.choice([-1, 1]) * rng.uniform(0.09, 0.14))
    rotation = far if turned else 0.02 * rng.normal()
    return Pose(
        breath=float(breath),
        rotation=float(rotation),
        supine=supine or "CT" in views,
        arms_forward=not frontal_ap,
    )


_DRAWN = (
    *("atelectasis", "cardiomegaly", "consolidation", "effusion", "emphysema", "fibrosis"),
    *("fracture", "mass", "nodule", "edema", "pneumothorax", "support device"),
)
"""Order in which findings are drawn; another order gives another cohort for the same seed."""


def _new(
    config: CohortConfig,
    rng: np.random.Generator,
    age: float,
    member: bool,
    have: list[Lesion],
    *,
    follow_up: bool,
) -> list[Lesion]:
    """New findings of a study."""
    chance = {**PREVALENCE, **config.prevalence}
    old = float(np.clip((age - 20) / 60, 0, 1.2))
    for label in ("cardiomegaly", "emphysema", "fibrosis", "mass", "edema"):
        chance[label] *= 0.4 + old
    if member and config.bias is not None:
        for label, factor in config.bias.prevalence.items():
            chance[label] *= factor
    found: list[Lesion] = []
    seen = {x.label for x in have}
    for label in _DRAWN:
        share = min(0.95, chance[label]) * (0.4 if follow_up else 1.0)
        if label == "effusion" and any(x.label in ("edema", "cardiomegaly") for x in found):
            share = min(0.95, share * 1.8)
        if label == "edema" and any(x.label == "cardiomegaly" for x in found):
            share = min(0.95, share * 2.0)
        drawn = rng.random() < share
        seed = int(rng.integers(2**31))
        if not drawn or label in seen:
            continue
        own = np.random.default_rng([seed, 2])
        if label == "support device":
            fresh = draw_support(
                own, {x.side for x in (*have, *found) if x.label == "pneumothorax"}
            )
        else:
            fresh = [draw_lesion(label, own)]
        found.extend(x for x in fresh if not _clash(x, [*have, *found]))
    return found


def _clash(lesion: Lesion, others: list[Lesion]) -> bool:
    """Whether two findings would be indistinguishable or cannot be drawn on one side."""
    pleural = ("effusion", "pneumothorax")
    for other in others:
        if not set(lesion.sides) & set(other.sides):
            if {lesion.label, other.label} == {"atelectasis", "emphysema"}:
                return True
            continue
        pair = {lesion.label, other.label}
        if lesion.label != other.label and pair == set(pleural):
            return True
        if (
            pair <= {"pneumothorax", "atelectasis", "mass", "nodule"}
            and len(pair) == 2
            and ("pneumothorax" in pair)
        ):
            return True
        if (
            "atelectasis" in pair
            and len(pair) == 2
            and pair <= {"atelectasis", "effusion"}
            and (max(lesion.grade, other.grade) == 2)
        ):
            return True
    return False


_SCALE = {"increased": (1.25, 1.6), "decreased": (0.5, 0.75)}
_LIMITS = {
    "effusion": (34, 170),
    "consolidation": (40, 115),
    "pneumothorax": (13, 95),
    "nodule": (8, 30),
    "mass": (31, 88),
    "cardiomegaly": (0.53, 0.72),
}
_COURSE = {
    "acute": (("resolved", 0.28), ("decreased", 0.26), ("unchanged", 0.20), ("increased", 0.26)),
    "growing": (("resolved", 0.04), ("decreased", 0.08), ("unchanged", 0.45), ("increased", 0.43)),
    "lasting": (("unchanged", 0.85), ("increased", 0.15)),
    "device": (("resolved", 0.45), ("unchanged", 0.55)),
}
_KIND_OF_COURSE = {
    "nodule": "growing",
    "mass": "growing",
    "cardiomegaly": "lasting",
    "emphysema": "lasting",
    "fibrosis": "lasting",
    "fracture": "lasting",
}


def _evolve(
    rng: np.random.Generator, lesions: list[Lesion], gap: int
) -> tuple[list[Lesion], list[str], list[Lesion]]:
    """Evolve findings to the next study: those left, their changes, those resolved."""
    kept: list[Lesion] = []
    changes: list[str] = []
    gone: list[Lesion] = []
    for lesion in lesions:
        course = _KIND_OF_COURSE.get(lesion.label, "acute")
        if lesion.label == "support device":
            course = "lasting" if lesion.kind in ("pacemaker", "port") else "device"
        names, shares = zip(*_COURSE[course], strict=True)
        change = str(rng.choice(names, p=shares))
        low, high = _SCALE.get(change, (1.0, 1.0))
        factor = float(rng.uniform(low, high))
        if change == "resolved":
            gone.append(lesion)
            continue
        if lesion.label in ("fracture", "support device"):
            change = "unchanged"
            healed = lesion.label == "fracture" and gap > 40 and 0 not in lesion.ribs
            kept.append(replace(lesion, kind="healed") if healed else lesion)
        else:
            moved = _changed(lesion, change, factor)
            if moved == lesion:
                change = "unchanged"
            kept.append(moved)
        changes.append(change)
    return kept, changes, gone


def _changed(lesion: Lesion, change: str, factor: float) -> Lesion:
    """A finding after it grew or shrank."""
    if change == "unchanged":
        return lesion
    if lesion.label in ("atelectasis", "edema", "emphysema", "fibrosis"):
        grade = int(np.clip(lesion.grade + (1 if change == "increased" else -1), 0, 2))
        place = lesion.place
        return replace(lesion, degree=("mild", "moderate", "severe")[grade], place=place)
    low, high = _LIMITS[lesion.label]
    if lesion.label == "cardiomegaly":
        factor = 1.07 if factor > 1 else 0.93
    elif lesion.label in ("nodule", "mass"):
        factor = 1 + 0.6 * (factor - 1)
    size = float(np.clip(lesion.size * factor, low, high))
    if abs(size - lesion.size) < 0.05 * lesion.size:
        return lesion
    size = round(size, 2) if lesion.label == "cardiomegaly" else float(round(size))
    return replace(lesion, size=size, degree=degree_of(lesion.label, size))


def _reported(config: CohortConfig, rng: np.random.Generator, entry: Entry, member: bool) -> Entry:
    """Whether the report states it, words it as uncertain or omits it."""
    miss, doubt = rng.random(), rng.random()
    unseen = config.omitted
    if member and config.bias is not None:
        unseen = max(unseen, config.bias.under_reported)
    status = "present"
    if miss < unseen:
        status = "omitted"
    elif doubt < config.uncertain * (2.0 if entry.lesion.degree == "mild" else 0.7):
        sure = ("support device", "cardiomegaly", "fracture")
        status = "present" if entry.lesion.label in sure else "uncertain"
    return replace(entry, status=status)


def findings_of(lesions: tuple[Lesion, ...]) -> str:
    """Findings in the notation of a table: ``"effusion:right;edema"``."""
    sides: dict[str, set[str]] = {}
    for lesion in lesions:
        if lesion.label == "other":
            continue
        side = lesion.side if lesion.label in SIDED_FINDINGS else ""
        sides.setdefault(lesion.label, set()).add(side)
    out = []
    for label in sorted(sides):
        have = sides[label]
        side = "bilateral" if len(have) > 1 else next(iter(have))
        out.append(f"{label}:{side}" if side else label)
    return ";".join(out)
