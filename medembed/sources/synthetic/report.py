"""Reports written from the ground truth, in the styles of several readers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from medembed.sources.synthetic.lesion import Lesion
from medembed.sources.synthetic.phrases import (
    BOTH,
    CHANGE,
    DEGREES,
    NOUNS,
    ONE,
    RESOLVED,
    UNCERTAIN,
)
from medembed.sources.synthetic.plan import Study

__all__ = ["write_report"]


@dataclass(frozen=True)
class _Reader:
    """Habits of one reader."""

    american: bool
    headings: str  # "upper", "title" or "colon"
    numbered: bool
    terse: float  # share of normal statements left out
    indication: float
    one_line: bool


_READERS = (
    _Reader(True, "upper", numbered=True, terse=0.2, indication=0.8, one_line=True),
    _Reader(False, "title", numbered=False, terse=0.4, indication=0.5, one_line=True),
    _Reader(False, "upper", numbered=False, terse=0.7, indication=0.2, one_line=False),
    _Reader(True, "colon", numbered=True, terse=0.5, indication=0.6, one_line=False),
    _Reader(False, "upper", numbered=True, terse=0.1, indication=0.9, one_line=True),
)

_INDICATIONS = (
    "Shortness of breath.", "Cough and fever.", "Chest pain.", "Follow-up.", "Fall.",
    "Preoperative assessment.", "Dyspnea on exertion.", "Weight loss.", "Check of lines.",
    "Known lung disease.", "Routine control.", "Trauma.",
)  # fmt: skip

_NORMAL = (
    "No acute cardiopulmonary abnormality.",
    "Normal chest radiograph.",
    "No acute findings in the chest.",
    "No evidence of acute disease.",
    "Unremarkable examination of the chest.",
    "No active disease.",
)


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _words(lesion: Lesion, rng: np.random.Generator) -> dict[str, str]:
    """Values for the placeholders of the phrases."""
    label, side = lesion.label, lesion.side
    degree = _pick(rng, DEGREES[label][lesion.grade]) if label in DEGREES else ""
    size = f"{lesion.size:.0f}"
    if label == "cardiomegaly":
        size = f"{lesion.size:.2f}"
        degree = {"mildly": "mild", "moderately": "moderate", "severely": "severe"}.get(
            degree, degree
        )
    elif label in ("mass", "consolidation"):
        size = f"{lesion.size / 10:.1f}".removesuffix(".0")
    place = lesion.place
    extra = ""
    if label == "effusion":
        extra = ("limited to the costophrenic angle", "reaching the mid zone",
                 "opacifying most of the hemithorax")[lesion.grade]  # fmt: skip
    elif label == "pneumothorax":
        extra = " with mediastinal shift" if lesion.grade == 2 else ""
    elif label == "atelectasis":
        extra = ("", " with elevated hemidiaphragm", " with shift of the mediastinum")[lesion.grade]
        if side == "bilateral":
            extra = ""
    elif lesion.kind == "pacemaker":
        extra = {"dual": "dual-chamber", "single": "single-lead"}[place]
    elif lesion.kind == "endotracheal tube":
        place = {
            "": "4 cm above the carina",
            "high": "8 cm above the carina, high in position",
            "low": "1 cm above the carina, low in position",
        }[place]
    if label == "fracture" and lesion.kind == "healed":
        degree = "healed"
    if lesion.kind == "granuloma":
        place = f"{place} zone"
    loc = f"{side} {place}".strip()
    if side == "bilateral":
        plural = place if place.endswith("s") else f"{place}s"
        loc = f"both {plural}" if label != "fracture" else f"right and left {plural}"
    if not place:
        loc = f"{side} lung"
    return {"side": side, "deg": degree, "size": size, "place": place, "loc": loc, "extra": extra}


def _key(lesion: Lesion) -> str:
    return lesion.kind if lesion.label in ("support device", "other") else lesion.label


def _fill(template: str, words: dict[str, str]) -> str:
    """Fill a template and tidy blanks, articles and the first letter."""
    text = template.format(**words)
    text = re.sub(r"\s+", " ", text).replace(" ,", ",").replace(" .", ".").strip()
    text = re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)
    text = re.sub(r",\s*\.", ".", text)
    return text[:1].upper() + text[1:]


def _noun(lesion: Lesion, rng: np.random.Generator) -> str:
    words = _words(lesion, rng)
    if lesion.side == "bilateral" and lesion.label in ("effusion", "consolidation", "atelectasis"):
        return f"{words['deg']} bilateral {lesion.label.replace('effusion', 'pleural effusion')}"
    text = _pick(rng, NOUNS[_key(lesion)]).format(**words)
    return re.sub(r"\s+", " ", text).strip(" ,")


def _short(lesion: Lesion) -> str:
    """The fewest words that name a finding and its side."""
    name = {
        "effusion": "pleural effusion",
        "edema": "pulmonary edema",
        "fibrosis": "pulmonary fibrosis",
        "support device": lesion.kind,
    }.get(lesion.label, lesion.label)
    return f"{lesion.side} {name}".strip()


def _sentences(study: Study, rng: np.random.Generator) -> list[str]:
    """One or two sentences for each reported finding, then the resolved ones."""
    out = []
    for entry in study.entries:
        lesion = entry.lesion
        if entry.status == "omitted" or lesion.label == "other":
            continue
        if entry.status == "uncertain":
            out.append(_fill(_pick(rng, UNCERTAIN), {"noun": _noun(lesion, rng)}))
            continue
        bank = BOTH if lesion.side == "bilateral" else ONE
        out.append(_fill(_pick(rng, bank[_key(lesion)]), _words(lesion, rng)))
        chance = 0.3 if entry.change == "unchanged" else 0.85
        if entry.change and rng.random() < chance:
            out.append(_fill(_pick(rng, CHANGE[entry.change]), {"short": _short(lesion)}))
    still = {_short(x) for x in study.lesions}
    for lesion in study.resolved:
        if _short(lesion) not in still and rng.random() < 0.85:
            out.append(_fill(_pick(rng, RESOLVED), {"short": _short(lesion)}))
    return out


def _negatives(study: Study, reader: _Reader, rng: np.random.Generator) -> list[str]:
    """Negative statements, consistent with the reported findings."""
    seen = {e.lesion.label for e in study.entries if e.status != "omitted"}
    out: list[tuple[str, ...]] = []
    if not seen & {"effusion", "pneumothorax"}:
        out.append(
            ("No pleural effusion or pneumothorax.",
             "There is no pneumothorax or pleural effusion.",
             "Pleural spaces are clear.", "No pneumothorax. No pleural effusion.")
        )  # fmt: skip
    elif "effusion" not in seen:
        out.append(
            ("No pleural effusion.", "There is no pleural effusion.", "No effusion is seen.")
        )
    elif "pneumothorax" not in seen:
        out.append(
            ("No pneumothorax.", "There is no pneumothorax.", "No evidence of pneumothorax.")
        )
    if not seen & {
        "consolidation",
        "nodule",
        "mass",
        "atelectasis",
        "edema",
        "fibrosis",
        "emphysema",
    }:
        out.append(("The lungs are clear.", "Lungs are clear.", "Clear lungs bilaterally.",
                    "No focal airspace disease."))  # fmt: skip
    elif "consolidation" not in seen:
        out.append(
            ("No focal consolidation.", "There is no consolidation.", "Without consolidation.")
        )
    if not seen & {"nodule", "mass"}:
        out.append(("No suspicious nodule or mass.", "No pulmonary nodule or mass is identified."))
    if "edema" not in seen:
        out.append(("No pulmonary edema.", "No vascular congestion or edema."))
    if "cardiomegaly" not in seen:
        ratio = f"{study.build.ratio:.2f}"
        out.append(
            ("Heart size is normal.", "The heart is not enlarged.", "No cardiomegaly.",
             "Cardiac silhouette within normal limits.", f"Normal heart size, ratio {ratio}.")
        )  # fmt: skip
    if "fracture" not in seen:
        out.append(("No acute osseous abnormality.", "No fracture.", "No displaced rib fracture.",
                    "Bones are intact."))  # fmt: skip
    return [_pick(rng, options) for options in out if rng.random() >= reader.terse]


def _remarks(study: Study, rng: np.random.Generator) -> list[str]:
    """Visible remarks that are not findings of the vocabulary."""
    build, pose = study.build, study.pose
    out: list[tuple[str, ...]] = []
    for entry in study.entries:
        if entry.lesion.label == "other":
            words = _words(entry.lesion, rng)
            out.append(tuple(_fill(t, words) for t in ONE[entry.lesion.kind]))
    if build.scoliosis:
        side = "left" if build.scoliosis > 0 else "right"
        out.append(
            (f"Thoracic scoliosis convex to the {side}.", f"{side.title()} convex scoliosis.")
        )
    if build.degenerative:
        out.append(("Degenerative changes of the thoracic spine.", "Spondylosis of the spine.",
                    "Multilevel degenerative spurring of the spine."))  # fmt: skip
    if build.aorta > 1.17:
        out.append(("Tortuous aorta.", "The thoracic aorta is tortuous and unfolded."))
    if build.no_breast:
        side = "left" if build.no_breast > 0 else "right"
        out.append((f"Status post {side} mastectomy.", f"Absent {side} breast shadow."))
    if pose.breath < 0.86:
        out.append(("Low lung volumes.", "Shallow inspiration.", "Lung volumes are low."))
    if abs(pose.rotation) > 0.08:
        side = "left" if pose.rotation > 0 else "right"
        out.append((f"The patient is rotated to the {side}.", f"Rotation to the {side}."))
    if build.fat > 33:
        out.append(("Image limited by body habitus.", "Large body habitus."))
    return [_pick(rng, options) for options in out if rng.random() < 0.8]


def _technique(study: Study) -> str:
    if "CT" in study.views:
        return "CT of the chest without contrast, axial 5 mm slices."
    if "AP" in study.views:
        place = "Portable supine" if study.pose.supine else "Portable upright"
        return f"{place} AP chest radiograph."
    if "LATERAL" in study.views and "PA" in study.views:
        return "PA and lateral chest radiographs."
    return f"{study.views[0]} chest radiograph."


def write_report(study: Study, seed: int) -> str:
    """Write the report of one study.

    Parameters
    ----------
    study : Study
    seed : int
        Seed of the cohort; the wording of a study does not depend on other studies.

    Returns
    -------
    str
        Sections FINDINGS and IMPRESSION, and depending on the reader INDICATION, TECHNIQUE,
        COMPARISON. No name, date or number of the patient.
    """
    rng = np.random.default_rng([seed, study.patient, study.number, 5])
    sites = {"site-A": (0, 1), "site-B": (2, 3), "site-C": (4, 1)}
    reader = _READERS[sites[study.site][int(rng.integers(2))]]
    told = _sentences(study, rng)
    body = [*told, *_remarks(study, rng), *_negatives(study, reader, rng)]
    if not body:
        body = ["The lungs are clear."]
    sections: list[tuple[str, list[str]]] = []
    if rng.random() < reader.indication:
        sections.append(("Indication", [_pick(rng, _INDICATIONS)]))
    sections.append(("Technique", [_technique(study)]))
    if rng.random() < 0.8:
        days = (study.when - study.prior).days if study.prior else 0
        gap = f"{days} days" if days < 60 else f"{round(days / 30)} months"
        prior = f"Prior study, {gap} earlier." if study.prior else "None."
        sections.append(("Comparison", [prior]))
    sections.append(("Findings", body))
    sections.append(("Impression", _impression(study, rng)))
    return _layout(sections, reader)


def _impression(study: Study, rng: np.random.Generator) -> list[str]:
    """The reported findings again, in brief and by weight."""
    lines = []
    for entry in study.entries:
        if entry.status == "omitted" or entry.lesion.label == "other":
            continue
        noun = _noun(entry.lesion, rng)
        if entry.status == "uncertain":
            lines.append(_fill("Possible {noun}.", {"noun": noun}))
            continue
        tail = ""
        if entry.change and rng.random() < 0.5:
            tail = f", {entry.change}"
        lines.append(_fill("{noun}{tail}.", {"noun": noun, "tail": tail}))
    return lines or [_pick(rng, _NORMAL)]


_BRITISH = (
    ("edema", "oedema"),
    ("dyspnea", "dyspnoea"),
    ("Edema", "Oedema"),
    ("Dyspnea", "Dyspnoea"),
)


def _layout(sections: list[tuple[str, list[str]]], reader: _Reader) -> str:
    """Headings, numbering and spelling of the reader."""
    blocks = []
    for name, lines in sections:
        if name == "Impression" and reader.numbered and len(lines) > 1:
            text = "\n".join(f"{i}. {line}" for i, line in enumerate(lines, 1))
        elif reader.one_line or name not in ("Findings", "Impression"):
            text = " ".join(lines)
        else:
            text = "\n".join(lines)
        if reader.headings == "upper":
            blocks.append(f"{name.upper()}: {text}")
        elif reader.headings == "title":
            blocks.append(f"{name}:\n{text}")
        else:
            blocks.append(f"{name.upper()}:\n{text}")
    text = "\n\n".join(blocks) if reader.headings != "upper" else "\n".join(blocks)
    if not reader.american:
        for american, british in _BRITISH:
            text = text.replace(american, british)
    return text
