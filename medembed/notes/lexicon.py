"""The words that name a finding, and those that look like it and do not."""

# ruff: noqa: E501 -- a table of patterns reads best with one on each line

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Mention", "find_mentions"]

_PATTERNS: tuple[tuple[str, str], ...] = (
    # What looks like a finding and is none. First, so that it wins at its place.
    ("", r"(?:pericardial|joint|knee|subdural|middle ear) effusions?"),
    ("", r"(?:peripheral|ankle|leg|pedal|soft tissue|subcutaneous|cerebral) o?edema"),
    ("", r"(?:subcutaneous|surgical|mediastinal|soft tissue) emphysema(?:tous)?"),
    ("", r"(?:vertebral|circulatory|cardiovascular) (?:body )?collapse"),
    ("", r"collapsed (?:and died|at home|in the|suddenly|vertebra\w*)"),
    ("", r"(?:thyroid|lymph|breast|skin|hepatic|liver) (?:nodul\w+|mass(?:es)?|node)"),
    ("", r"(?:body|bone|muscle|liver|renal|abdominal) mass(?:es)?|mass(?:ive)? effect"),
    ("", r"tumou?r markers?|systemic fibrosis|cystic fibrosis"),
    ("", r"port(?:able|ion|al)\b|line of|port of entry"),
    ("", r"(?:pleural|visceral pleural|fissural|midclavicular|midline) lines?"),
    # The normal chest in words of its own; "-" makes the finding absent.
    ("-cardiomegaly", r"(?:heart|cardiac|cardiomediastinal)(?: size| silhouette| shadow| contours?)?"
        r"(?: and mediasti\w+(?: contours?)?)?"
        r"(?: (?:is|are|appears?|remains?|of|size|contours?|silhouette)){0,4}"
        r" (?:(?:with)?in )?(?:the )?(?:upper limits? of )?(?:normal|unremarkable|not enlarged)\b"),
    ("-cardiomegaly", r"normal (?:sized? )?(?:heart|cardiac (?:size|silhouette|shadow))"
        r"(?: size)?"),
    ("-effusion", r"(?:sharp|clear) (?:costo(?:phrenic|diaphragmatic) )(?:angles?|sulci|sulcus|recess(?:es)?)"),
    ("-effusion", r"costo(?:phrenic|diaphragmatic) (?:angles?|sulci|sulcus|recess(?:es)?)"
        r" (?:is|are|appear|remain)? ?(?:sharp|clear|preserved|free|not blunted)"),
    ("-effusion -pneumothorax", r"pleural spaces? (?:is|are|appears?) (?:clear|unremarkable|normal)"),
    ("-fracture", r"(?:bones|bony thorax|osseous structures|ribs) (?:is|are|appears?) (?:intact|unremarkable)"),
    # The findings.
    ("effusion pneumothorax", r"(?:hydro|haemo|hemo)[ -]?pneumothorax"),
    ("effusion", r"(?:pleural |parapneumonic ){0,2}effusions?"),
    ("effusion", r"(?:pleural|subpulmonic|layering) (?:fluid|collections?)"),
    ("effusion", r"(?:fluid|blood) (?:in|within) the (?:(?:left|right) )?pleural (?:space|cavity)"),
    ("effusion", r"(?:hydro|haemo|hemo)thorax|empyema"),
    ("effusion", r"blunt(?:ing|ed) (?:of )?(?:the )?(?:both )?(?:(?:left|right)(?: lateral| posterior)? )?"
        r"costo(?:phrenic|diaphragmatic) (?:angles?|sulci|sulcus|recess(?:es)?)"),
    ("effusion", r"costo(?:phrenic|diaphragmatic) (?:angles?|sulci|sulcus|recess(?:es)?)"
        r" (?:is|are|appears?) (?:mildly |slightly )?blunted"),
    ("pneumothorax", r"pneumothora(?:x|ces|xes)|ptx|air in the (?:(?:left|right) )?pleural (?:space|cavity)"),
    ("consolidation", r"air[ -]?space (?:opaci\w+|disease|consolidations?|shadowing|changes?|infiltrat\w+)"),
    ("consolidation", r"consolidat(?:ions?|ive|ed|ing)(?: (?:opaci\w+|changes?|process))?"),
    ("consolidation", r"infiltrat(?:es?|ions?)\b"),
    ("nodule", r"(?:micro)?nodules?|nodular (?:opaci\w+|densit\w+|lesions?|shadows?|foci)|coin lesions?"),
    ("mass", r"mass(?:es)?(?:-like (?:opaci\w+|lesions?|densit\w+))?|tumou?rs?|neoplasms?"),
    ("atelectasis", r"atelectas[ei]s|atelectatic(?: (?:changes?|bands?|opaci\w+))?"),
    ("atelectasis", r"volume loss|loss of volume|collapse[ds]?"),
    ("fracture", r"fractur(?:es?|ed)|broken ribs?"),
    ("cardiomegaly", r"cardiomegaly|(?:cardiac|heart) enlargement"),
    ("cardiomegaly", r"(?:enlarged|big|prominent) (?:heart|cardiac (?:silhouette|shadow|size)|"
        r"cardiomediastinal silhouette)"),
    ("cardiomegaly", r"enlargement of the (?:heart|cardiac (?:silhouette|shadow)|cardiomediastinal silhouette)"),
    ("cardiomegaly", r"(?:heart|cardiac|cardiomediastinal)(?: size| silhouette| shadow)?"
        r"(?: (?:is|are|appears?|remains?|looks))?(?: (?:mildly|slightly|moderately|markedly|severely|"
        r"again|now|grossly|borderline|stably|still)){0,3} enlarged"),
    ("oedema", r"(?:(?:pulmonary|lung|interstitial|alveolar|cardiogenic) (?:and alveolar )?){0,3}o?edema(?:tous)?"),
    ("oedema", r"(?:pulmonary )?vascular congestion|pulmonary congestion|fluid overload"),
    ("emphysema", r"emphysema(?:tous)?(?: changes?| lungs?)?|bulla(?:e|\b)|bullous (?:disease|changes?)"),
    ("fibrosis", r"fibrosis|fibrotic(?: \w+)?|honeycombing|interstitial lung disease"),
    ("support device", r"(?:cardiac )?pacemakers?|pacing (?:leads?|device)|defibrillator|icd"),
    ("support device", r"(?:central )?(?:venous )?(?:dialysis )?catheters?|picc(?: line)?"),
    ("support device", r"central (?:venous )?(?:access )?lines?|(?:jugular|subclavian|picc|cv) lines?"),
    ("support device", r"port-?a-?cath|(?:chest|implanted|infusion)(?: wall)? port|mediport"),
    ("support device", r"(?:endotracheal|tracheostomy|et|chest|thoracostomy|pleural|intercostal|"
        r"nasogastric|orogastric|enteric|feeding|ng|og) (?:chest )?(?:tubes?|drains?|cannula)|ett|intubated"),
    ("support device", r"swan-?ganz|intra-?aortic balloon pump|iabp|support devices?|"
        r"(?:prosthetic|mechanical) (?:\w+ )?valves?"),
)  # fmt: skip

_BLANK = r"[ \\t\\r\\n\\xa0]+"
_NAMED = (f"(?P<p{i}>{pattern})" for i, (_, pattern) in enumerate(_PATTERNS))
_LEXICON = re.compile(r"\b(?:" + re.sub(r"(?<!\[) ", _BLANK, "|".join(_NAMED)) + r")\b")
_LABELS = [re.findall(r"-?(?:support device|[a-z]+)", label) for label, _ in _PATTERNS]


@dataclass(frozen=True)
class Mention:
    """Words that name a finding.

    Parameters
    ----------
    label : str
    start, end : int
        Where they stand in the report.
    is_normal : bool
        Whether the words themselves say that it is absent ("heart size is normal").
    """

    label: str
    start: int
    end: int
    is_normal: bool = False


def find_mentions(text: str, start: int, end: int) -> Iterator[Mention]:
    """Give the mentions between two places of a report in lower case, in order."""
    for match in _LEXICON.finditer(text, start, end):
        index = int((match.lastgroup or "p0")[1:])
        for label in _LABELS[index]:
            yield Mention(label.lstrip("-"), match.start(), match.end(), label[0] == "-")
