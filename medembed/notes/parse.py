"""A report into a :class:`Note`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from medembed.notes.addenda import corrected
from medembed.notes.clauses import find_sentences
from medembed.notes.findings import FINDINGS
from medembed.notes.language import detect
from medembed.notes.laterality import SideFinder
from medembed.notes.lexicon import read_sentence
from medembed.notes.negation import read_answer, read_context
from medembed.notes.note import Assertion, Note, Section, Side
from medembed.notes.sections import READ, find_sections
from medembed.notes.vocabulary import Vocabulary, load_vocabulary

__all__ = ["asserted_findings", "read_note"]


def read_note(text: str, vocabulary: Vocabulary | None = None) -> Note:
    """Read a report: its sections, and what it asserts of the findings of a vocabulary.

    Indication, history, technique, comparison and recommendation are found as sections but not
    read for findings: what they ask or remember is no observation of this study. What an addendum
    corrects is replaced. A report in another language than the vocabulary's asserts nothing, and
    its note names the language. The rules and how well they do are in docs/reference/notes.md. The
    time grows with the length of the text only.

    Parameters
    ----------
    text : str
    vocabulary : Vocabulary, optional
        By default the package's for English; :func:`load_vocabulary` has German too.

    Raises
    ------
    NoteError
        Where the text is blank.

    Examples
    --------
    >>> note = read_note("FINDINGS: Small left effusion, no pneumothorax.")
    >>> [(a.label, a.status, a.side) for a in note.assertions]
    [('effusion', 'present', 'left'), ('pneumothorax', 'absent', '')]
    >>> read_note("Pas de pneumothorax ni de fracture.").assertions
    ()
    """
    vocabulary = vocabulary or load_vocabulary("en")
    folded = _fold(text)
    sections = find_sections(text, vocabulary, folded)
    language = detect(text) or vocabulary.language
    if language != vocabulary.language:
        return Note(text, sections, (), language)
    read = [
        (section, list(_read_section(text, folded, section, vocabulary)))
        for section in sections
        if section.name in READ
    ]
    assertions = corrected(folded, sections, read, vocabulary)
    return Note(text, sections, tuple(assertions), language)


def _fold(text: str) -> str:
    """Give the text in lower case, every character at its place."""
    folded = text.lower().replace("’", "'")
    if len(folded) == len(text):
        return folded
    return "".join(low if len(low := c.lower()) == 1 else c for c in text.replace("’", "'"))


def _read_section(
    text: str, folded: str, section: Section, vocabulary: Vocabulary
) -> Iterator[Assertion]:
    asked: list[Assertion] = []
    for start, end in find_sentences(text, section.start, section.end, vocabulary):
        sentence = read_sentence(folded, start, end, vocabulary)
        if sentence is None:
            answer = read_answer(folded, start, end, vocabulary) if asked else None
            yield from (replace(a, status=answer) if answer else a for a in asked)
            asked = []
            continue
        yield from asked
        finder = SideFinder(text, sentence, vocabulary)
        asks = folded[start:end].rstrip().endswith("?")
        readings = read_context(sentence, vocabulary, finder.denials(), asks)
        sides = finder.find([reading.status == "absent" for reading in readings])
        said = [
            Assertion(
                mention.label,
                reading.status,
                side,
                mention.start,
                mention.end,
                reading.historical,
            )
            for mention, reading, side in zip(sentence.mentions, readings, sides, strict=True)
            if mention.label and reading.is_said
        ]
        asked = said if asks else []
        yield from () if asks else said
    yield from asked


def asserted_findings(note: Note) -> tuple[tuple[str, Side], ...]:
    """Give the findings that a note says are there, each once, with its side.

    What is said of an earlier study only is left out. Left and right together are bilateral; a
    mention without a side adds nothing where another gives one.

    Returns
    -------
    tuple of (label, side)
        Those of :data:`FINDINGS` in their order, then the others by name.
    """
    sides: dict[str, set[Side]] = {}
    for assertion in note.assertions:
        if assertion.status == "present" and not assertion.historical:
            sides.setdefault(assertion.label, set()).add(assertion.side)
    others = sorted(set(sides) - set(FINDINGS))
    return tuple(
        (label, _one_side(sides[label])) for label in (*FINDINGS, *others) if label in sides
    )


def _one_side(sides: set[Side]) -> Side:
    named = sides - {""}
    if len(named) > 1:
        return "bilateral"
    return named.pop() if named else ""
