"""Schema of a vocabulary file, described in docs/reference/vocabulary.md."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

__all__ = [
    "FORMER_LABELS",
    "FindingEntry",
    "SideWords",
    "TriggerGroup",
    "VocabularyFile",
    "VocabularyPart",
    "current_label",
]

FORM = 1
"""Version of the schema."""

FORMER_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "oedema": "edema",
        "bone marrow oedema": "bone marrow edema",
        "cerebral oedema": "cerebral edema",
        "embolisation coil": "embolization coil",
        "epidural haematoma": "epidural hematoma",
        "gynaecomastia": "gynecomastia",
        "intracerebral haemorrhage": "intracerebral hemorrhage",
        "intracranial haemorrhage": "intracranial hemorrhage",
        "intraventricular haemorrhage": "intraventricular hemorrhage",
        "liver haemangioma": "liver hemangioma",
        "mesenteric ischaemia": "mesenteric ischemia",
        "retroperitoneal haematoma": "retroperitoneal hematoma",
        "subarachnoid haemorrhage": "subarachnoid hemorrhage",
        "subdural haematoma": "subdural hematoma",
    }
)
"""Labels of libraries of schema 1 and 2 and of vocabularies of their time, and today's labels."""


def current_label(label: str) -> str:
    """Return today's label for a former one; other labels stay."""
    return FORMER_LABELS.get(label, label)


Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Word = Annotated[str, StringConstraints(pattern=r"^[^\W_A-Z]+$", max_length=40)]
Joiner = Annotated[str, StringConstraints(pattern=r"^([^\W_A-Z]+|[^\w\s])$", max_length=20)]
Label = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9 /'-]*[a-z0-9]$", max_length=60),
    AfterValidator(current_label),
]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=60)]
Kind = Literal[
    "present", "absent", "uncertain", "gone", "history", "hypothetical", "contrast", "ignored"
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FindingEntry(_Strict):
    """A finding and the phrases that name it.

    Parameters
    ----------
    label : str
        Name in lower-case English for every language, so that libraries are comparable.
    region : str
        Region: chest, abdomen, neuro, spine, breast, vascular, device, or a local one.
    sided : bool
        Whether it has a side.
    device : bool
        Whether it is a device. A negation does not reach a device after a bare comma.
    names : tuple of str
        Phrases that name it.
    normal : tuple of str
        Phrases that state its absence ("heart size is normal").
    doubtful : tuple of str
        Phrases that state it as uncertain ("borderline enlarged heart").
    aliases : tuple of str
        Names used in the findings column of tables.
    replace : bool
        Whether this entry replaces one with the same label instead of extending it.
    """

    label: Label
    region: Name = "chest"
    sided: bool = False
    device: bool = False
    names: tuple[Phrase, ...] = ()
    normal: tuple[Phrase, ...] = ()
    doubtful: tuple[Phrase, ...] = ()
    aliases: tuple[str, ...] = ()
    replace: bool = False


class TriggerGroup(_Strict):
    """Phrases that determine the status of a finding.

    Parameters
    ----------
    kind : str
        ``absent``, ``uncertain``, ``gone`` (formerly present), ``history`` (only in the past),
        ``hypothetical`` (not about this study), ``present`` (regardless of other triggers),
        ``contrast`` (absent, or uncertain in an uncertain clause), ``ignored`` (only looks like a
        trigger).
    direction : {"before", "after", "both"}
        Whether the phrase comes before or after its findings.
    reach : {"list", "noun", "clause"}
        ``list``: to the end of the enumeration that begins there; ``noun``: the next finding only;
        ``clause``: to the end of the clause.
    ends : tuple of str
        Words that end the reach earlier.
    words : tuple of str
        The phrases.
    """

    kind: Kind
    direction: Literal["before", "after", "both"] = "before"
    reach: Literal["list", "noun", "clause"] = "list"
    ends: tuple[Word, ...] = ()
    words: tuple[Phrase, ...] = ()


class SideWords(_Strict):
    """Words of laterality.

    Parameters
    ----------
    pairs : tuple of (str, str)
        A word for left and its counterpart; a mirrored text swaps them.
    left, right : tuple of str
        Phrases of one side without a counterpart (lingula, middle lobe).
    both : tuple of str
        Phrases of both sides.
    elsewhere : tuple of str
        Phrases with a side that do not locate a finding ("shifted to the left").
    place : tuple of str
        Words between a finding and its place: in, of, at.
    relations : tuple of str
        Words after which a side belongs to something else: abutting, towards.
    compares : tuple of str
        Words between two sides of one finding: larger, than.
    """

    pairs: tuple[tuple[Word, Word], ...] = ()
    left: tuple[Phrase, ...] = ()
    right: tuple[Phrase, ...] = ()
    both: tuple[Phrase, ...] = ()
    elsewhere: tuple[Phrase, ...] = ()
    place: tuple[Word, ...] = ()
    relations: tuple[Word, ...] = ()
    compares: tuple[Word, ...] = ()


class VocabularyPart(_Strict):
    """Content of an included file.

    Parameters
    ----------
    version : int
        Version of the schema: 1.
    classes : mapping of str to tuple of str
        Word classes for ``<name>`` in a phrase.
    findings : tuple of FindingEntry
    lookalikes : tuple of str
        Phrases that look like a finding but are not ("mass effect").
    """

    version: Literal[1]
    classes: dict[Name, tuple[Word, ...]] = Field(default_factory=dict)
    findings: tuple[FindingEntry, ...] = ()
    lookalikes: tuple[Phrase, ...] = ()


class VocabularyFile(VocabularyPart):
    """A vocabulary.

    Parameters
    ----------
    name : str
        Name, stored in libraries that use it.
    language : str
        ISO 639-1 code.
    extends : str
        Packaged vocabulary that it extends.
    includes : tuple of str
        Files in the same folder, each a :class:`VocabularyPart`.
    remove : tuple of str
        Labels of the extended vocabulary to drop.
    triggers : tuple of TriggerGroup
    ends : tuple of str
        Phrases that end every reach: but, however.
    exceptions : tuple of str
        Phrases that end it and introduce an exception: except for, other than.
    ands, ors, withs : tuple of str
        Words that join: and; or; with.
    barriers : tuple of str
        Words that ``~2`` does not skip, besides joining words.
    new_statement : tuple of str
        Phrases that begin a new statement after a comma: stable, left, there is.
    sizes : tuple of str
        Phrases that do so unless an "or" follows: small, mild.
    large : tuple of str
        Phrases that do so unless the list continues: a denied list may contain "large effusion".
    placed : tuple of str
        Phrases that locate a device, which is then present: in place, tip.
    refers : tuple of str
        Words by which an addendum refers to an earlier finding: the, this.
    corrects : tuple of str
        Phrases by which an addendum corrects the report: should read.
    function : tuple of str
        Function words: it, which, has, now.
    verbs : tuple of str
        Forms of be, have, show, which follow a subject.
    still : tuple of str
        Words that state that an earlier finding is still present: unchanged, persists.
    today : tuple of str
        Verbs in the present tense: a "previously seen nodule" that measures 8 mm is present.
    previously : tuple of str
        Phrases that name a finding as seen earlier: previously noted.
    open_line : tuple of str
        Words that cannot end a sentence, so that the next line continues it: of, no, the.
    abbreviations : tuple of str
        Words whose period does not end a sentence: dr, vs, rt.
    sides : SideWords
    sections : mapping of str to tuple of str
        Headings of each section.
    subheadings : tuple of str
        Headings that begin findings within a section that is not searched: lungs, heart.
    starters : tuple of str
        Words that begin findings: there, the, heart, lungs.
    patient_words : tuple of str
        Phrases of a case history: year-old, presents.
    plain : tuple of str
        Query words that do not name a finding: chest, patient, small.
    finding_endings : tuple of str
        Endings of words that name a disease: itis, oma.
    """

    name: Name
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
    extends: str = ""
    includes: tuple[str, ...] = ()
    remove: tuple[Annotated[str, AfterValidator(current_label)], ...] = ()
    triggers: tuple[TriggerGroup, ...] = ()
    ends: tuple[Phrase, ...] = ()
    exceptions: tuple[Phrase, ...] = ()
    ands: tuple[Joiner, ...] = ()
    ors: tuple[Joiner, ...] = ()
    withs: tuple[Word, ...] = ()
    barriers: tuple[Word, ...] = ()
    new_statement: tuple[Phrase, ...] = ()
    sizes: tuple[Phrase, ...] = ()
    large: tuple[Phrase, ...] = ()
    placed: tuple[Phrase, ...] = ()
    refers: tuple[Word, ...] = ()
    corrects: tuple[Phrase, ...] = ()
    function: tuple[Word, ...] = ()
    verbs: tuple[Word, ...] = ()
    still: tuple[Phrase, ...] = ()
    today: tuple[Word, ...] = ()
    previously: tuple[Phrase, ...] = ()
    open_line: tuple[Word, ...] = ()
    abbreviations: tuple[Word, ...] = ()
    sides: SideWords = SideWords()
    sections: dict[str, tuple[Phrase, ...]] = Field(default_factory=dict)
    subheadings: tuple[Phrase, ...] = ()
    starters: tuple[Word, ...] = ()
    patient_words: tuple[Phrase, ...] = ()
    plain: tuple[Phrase, ...] = ()
    finding_endings: tuple[str, ...] = ()
