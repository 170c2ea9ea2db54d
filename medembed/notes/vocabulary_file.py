"""The form of a vocabulary file: docs/reference/vocabulary.md says it in words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

__all__ = ["FindingEntry", "SideWords", "TriggerGroup", "VocabularyFile", "VocabularyPart"]

FORM = 1
"""Version of the form."""

Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Word = Annotated[str, StringConstraints(pattern=r"^[^\W_A-Z]+$", max_length=40)]
Joiner = Annotated[str, StringConstraints(pattern=r"^([^\W_A-Z]+|[^\w\s])$", max_length=20)]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9 /'-]*[a-z0-9]$", max_length=60)]
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
        Its one name, in lower case English in every language, so that libraries can be compared.
    region : str
        Where it belongs: chest, abdomen, neuro, spine, breast, vascular, device, or a site's own.
    sided : bool
        Whether it lies on one side or the other.
    device : bool
        Whether it is a device. A device after a bare comma is not denied by what stands before.
    names : tuple of str
        Phrases that name it.
    normal : tuple of str
        Phrases that say in words of their own that it is absent ("heart size is normal").
    doubtful : tuple of str
        Phrases that name it as in doubt ("borderline enlarged heart").
    aliases : tuple of str
        What tables call it in their column of findings.
    replace : bool
        Whether this entry takes the place of one of the same label instead of adding to it.
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
    """Phrases that say whether a finding is there.

    Parameters
    ----------
    kind : str
        ``absent``, ``uncertain``, ``gone`` (was there, is absent), ``history`` (of an earlier time
        only), ``hypothetical`` (says nothing of this study), ``present`` (there, whatever stands
        around it), ``contrast`` (absent, or uncertain in a clause that speaks in doubt),
        ``ignored`` (looks like a trigger and is none).
    direction : {"before", "after", "both"}
        Whether it stands before the findings that it speaks of, or behind them.
    reach : {"list", "noun", "clause"}
        ``list``: to the end of the enumeration that begins there; ``noun``: the next finding only;
        ``clause``: to the end of the clause.
    ends : tuple of str
        Words that end the reach of these phrases before that.
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
        A word of the left and its counterpart; a mirrored text swaps them.
    left, right : tuple of str
        Phrases of one side without a counterpart (lingula, middle lobe).
    both : tuple of str
        Phrases of both sides.
    elsewhere : tuple of str
        Phrases with a word of side that do not say where a finding lies ("shifted to the left").
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
    """What a file that another one includes may hold.

    Parameters
    ----------
    version : int
        Of the form: 1.
    classes : mapping of str to tuple of str
        Classes of words, for ``<name>`` in a phrase.
    findings : tuple of FindingEntry
    lookalikes : tuple of str
        Phrases that look like a finding and are none ("mass effect").
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
        Its own name, kept by libraries that were read with it.
    language : str
        ISO 639-1 code.
    extends : str
        A vocabulary of the package that it adds to.
    includes : tuple of str
        Files beside it, each a :class:`VocabularyPart`.
    remove : tuple of str
        Labels of the extended vocabulary to leave out.
    triggers : tuple of TriggerGroup
    ends : tuple of str
        Phrases that end every reach: but, however.
    exceptions : tuple of str
        Phrases that end it and name what is there all the same: except for, other than.
    ands, ors, withs : tuple of str
        Words that join: and; or; with.
    barriers : tuple of str
        Words that ``~2`` does not run over, besides those that join.
    new_statement : tuple of str
        Phrases that begin a new statement behind a comma: stable, left, there is.
    sizes : tuple of str
        Phrases that do so unless an "or" follows: small, mild.
    large : tuple of str
        Phrases that do so unless the list goes on: a denied list has "large effusion" in it.
    placed : tuple of str
        Phrases that say where a device lies: in place, tip. What has one is there.
    refers : tuple of str
        Words before a finding of an addendum that make it the one spoken of above: the, this.
    corrects : tuple of str
        Phrases by which an addendum takes back what stands above it: should read.
    function : tuple of str
        Words that name nothing: it, which, has, now.
    verbs : tuple of str
        Forms of be, have, show: what stands before one is a subject of its own.
    still : tuple of str
        Words that say that an earlier finding is there today: unchanged, persists.
    today : tuple of str
        Verbs in the present: a "previously seen nodule" that measures 8 mm is there.
    previously : tuple of str
        Phrases that name a finding as seen earlier: previously noted.
    open_line : tuple of str
        Words that no sentence ends with, so that a line that ends with one goes on: of, no, the.
    abbreviations : tuple of str
        Words whose full stop ends no sentence: dr, vs, rt.
    sides : SideWords
    sections : mapping of str to tuple of str
        Headings of each section.
    subheadings : tuple of str
        Headings that begin findings where they stand in a section that is not read: lungs, heart.
    starters : tuple of str
        Words that findings begin with: there, the, heart, lungs.
    patient_words : tuple of str
        Phrases of a case history: year-old, presents.
    plain : tuple of str
        Words of a query that name no finding: chest, patient, small.
    finding_endings : tuple of str
        Endings of words that name a disease: itis, oma.
    """

    name: Name
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
    extends: str = ""
    includes: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
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
