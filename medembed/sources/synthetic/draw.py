"""Draw one finding: its side, place, degree and size."""

from __future__ import annotations

import numpy as np

from medembed.sources.synthetic.lesion import Lesion

__all__ = ["degree_of", "draw_lesion", "draw_support"]

_LOBES = {
    "right": {
        "upper lobe": ((-0.1, 0.5), (-0.5, 0.5), (0.20, 0.36)),
        "middle lobe": ((0.05, 0.5), (-0.7, -0.3), (0.46, 0.56)),
        "lower lobe": ((0.0, 0.55), (0.2, 0.65), (0.52, 0.62)),
    },
    "left": {
        "upper lobe": ((-0.1, 0.5), (-0.5, 0.4), (0.20, 0.38)),
        "lingula": ((0.35, 0.6), (-0.7, -0.3), (0.46, 0.56)),
        "lower lobe": ((0.2, 0.6), (0.2, 0.65), (0.52, 0.63)),
    },
}
"""Range of (across, back, down) in fractions of the lung, by side and lobe."""

_SIZES = {
    "effusion": ((38, 50), (72, 104), (130, 165)),
    "consolidation": ((46, 56), (60, 76), (80, 108)),
    "pneumothorax": ((15, 24), (30, 46), (60, 90)),
    "nodule": ((8, 13), (14, 21), (22, 30)),
    "mass": ((32, 44), (45, 62), (64, 80)),
    "fracture": ((7, 8), (9, 11), (12, 15)),
    "cardiomegaly": ((0.54, 0.56), (0.57, 0.62), (0.63, 0.70)),
}
_GRADES = {
    "nodule": (0.14, 0.40, 0.46),
    "fracture": (0.25, 0.40, 0.35),
}
_BOTH = {"effusion": 0.18, "consolidation": 0.12, "atelectasis": 0.10, "fracture": 0.06}


def degree_of(label: str, size: float) -> str:
    """Degree of a finding of this size."""
    ranges = _SIZES[label]
    if size < ranges[1][0] * 0.98:
        return "mild"
    return "moderate" if size < ranges[2][0] * 0.97 else "severe"


def draw_lesion(label: str, rng: np.random.Generator) -> Lesion:
    """Draw a finding other than a support device.

    Parameters
    ----------
    label : str
        One of ``medembed.notes.FINDINGS``.
    rng : numpy Generator
    """
    seed = int(rng.integers(2**31))
    grade = int(rng.choice(3, p=_GRADES.get(label, (0.30, 0.42, 0.28))))
    degree = ("mild", "moderate", "severe")[grade]
    size = 0.0
    if label in _SIZES:
        size = float(rng.uniform(*_SIZES[label][grade]))
        size = round(size, 2) if label == "cardiomegaly" else float(round(size))
    if label in ("cardiomegaly", "edema", "emphysema", "fibrosis"):
        return Lesion(label, degree=degree, size=size, seed=seed)
    side = str(rng.choice(["right", "left"], p=[0.52, 0.48]))
    if rng.random() < _BOTH.get(label, 0.0):
        side = "bilateral"
    if label in ("effusion", "pneumothorax"):
        return Lesion(label, side, degree=degree, size=size, seed=seed)
    if label == "fracture":
        return _fracture(rng, side, degree, grade, size, seed)
    if label == "atelectasis":
        return _atelectasis(rng, side, degree, grade, seed)
    lobes = _LOBES["right" if side == "bilateral" else side]
    names = ["upper lobe", "lower lobe"] if side == "bilateral" else list(lobes)
    place = str(rng.choice(names))
    across, back, down = (float(rng.uniform(*r)) for r in lobes[place])
    return Lesion(label, side, place, degree, size, "", (across, back, down), (), seed)


def _fracture(
    rng: np.random.Generator, side: str, degree: str, grade: int, size: float, seed: int
) -> Lesion:
    """Ribs, or sometimes the clavicle."""
    if rng.random() < 0.15 and side != "bilateral":
        size = float(round(rng.uniform(14, 20)))
        return Lesion("fracture", side, "clavicle", degree, size, "", (0.5, 0, 0), (0,), seed)
    count = (1, 2, int(rng.integers(3, 5)))[grade]
    first = int(rng.integers(4, 9 - count + 1))
    ribs = tuple(range(first, first + count))
    names = [_ordinal(r) for r in ribs]
    place = f"{names[0]} rib" if count == 1 else f"{names[0]} to {names[-1]} ribs"
    if count == 2:
        place = f"{names[0]} and {names[1]} ribs"
    kind = "healed" if rng.random() < 0.10 else ""
    where = float(rng.uniform(0.36, 0.58))
    return Lesion("fracture", side, place, degree, size, kind, (where, 0.0, 0.0), ribs, seed)


def _ordinal(number: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(number, f"{number}th")


def _atelectasis(rng: np.random.Generator, side: str, degree: str, grade: int, seed: int) -> Lesion:
    """Bands at the base, or a lobe."""
    if grade == 0 or side == "bilateral":
        place = "lung base" if grade == 0 and side != "bilateral" else "lower lobe"
        return Lesion("atelectasis", side, place, degree, 0.0, "lower", (0, 0, 0.7), (), seed)
    kind = str(rng.choice(["lower", "upper"], p=[0.62, 0.38]))
    return Lesion("atelectasis", side, f"{kind} lobe", degree, 0.0, kind, (0, 0, 0.5), (), seed)


def draw_support(rng: np.random.Generator, pneumothorax: set[str]) -> list[Lesion]:
    """Draw one device, or the set of a patient in intensive care.

    Parameters
    ----------
    rng : numpy Generator
    pneumothorax : set of str
        Sides with a pneumothorax: a chest tube is likely there.
    """

    def device(kind: str, side: str = "", place: str = "") -> Lesion:
        return Lesion("support device", side, place, kind=kind, seed=int(rng.integers(2**31)))

    side = str(rng.choice(["right", "left"]))
    for ill in sorted(pneumothorax):
        if rng.random() < 0.6:
            return [device("chest tube", ill, "apex")]
    tips = ["superior vena cava", "right atrium", "brachiocephalic vein"]
    choice = rng.random()
    if choice < 0.30:
        place = str(rng.choice(["dual", "single"]))
        return [device("pacemaker", str(rng.choice(["left", "right"], p=[0.75, 0.25])), place)]
    if choice < 0.48:
        return [device("central line", side, str(rng.choice(tips, p=[0.6, 0.25, 0.15])))]
    if choice < 0.63:
        return [device("port", side, str(rng.choice(tips[:2], p=[0.7, 0.3])))]
    if choice < 0.78:
        return [device("chest tube", side, str(rng.choice(["apex", "base"])))]
    if choice < 0.86:
        return [device("nasogastric tube")]
    out = [device("endotracheal tube", "", str(rng.choice(["", "high", "low"], p=[0.6, 0.2, 0.2])))]
    if rng.random() < 0.7:
        out.append(device("central line", side, str(rng.choice(tips, p=[0.6, 0.25, 0.15]))))
    if rng.random() < 0.6:
        out.append(device("nasogastric tube"))
    return out
