"""Parse a report into a :class:`Note`."""

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

__all__ = ["asserted_findings", "fold", "read_note"]


def read_note(text: str, vocabulary: Vocabulary | None = None) -> Note:
    """Parse a report: its sections, and its assertions about the findings of a vocabulary.

    Indication, history, technique, comparison and recommendation become sections but are not
    searched for findings: they contain no observations of this study. An addendum replaces the
    assertions it corrects. A report in another language than the vocabulary's has no assertions,
    and its note names the language. docs/reference/notes.md describes the rules and their
    accuracy. The time is linear in the length of the text.

    Parameters
    ----------
    text : str
    vocabulary : Vocabulary, optional
        Default: the packaged English one; :func:`load_vocabulary` also has German.

    Raises
    ------
    NoteError
        If the text is blank.

    Examples
    --------
    >>> note = read_note("FINDINGS: Small left effusion, no pneumothorax.")
    >>> [(a.label, a.status, a.side) for a in note.assertions]
    [('effusion', 'present', 'left'), ('pneumothorax', 'absent', '')]
    >>> read_note("Pas de pneumothorax ni de fracture.").assertions
    ()
    """
    vocabulary = vocabulary or load_vocabulary("en")
    folded = fold(text)
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


def fold(text: str) -> str:
    """Convert to lower case, keeping the position of every character."""
    folded = text.lower().replace("’", "'")
    if len(folded) == len(text):
        return folded
    return "".join(low if len(low := c.lower()) == 1 else c for c in text.replace("’", "'"))


def _read_section(
    text: str, folded: str, section: Section, vocabulary: Vocabulary
) -> Iterator[Assertion]:
    pending: list[Assertion] = []  # of a question that awaits its answer
    for start, end in find_sentences(text, section.start, section.end, vocabulary):
        sentence = read_sentence(folded, start, end, vocabulary)
        if sentence is None:
            answer = read_answer(folded, start, end, vocabulary) if pending else None
            yield from (replace(a, status=answer) if answer else a for a in pending)
            pending = []
            continue
        yield from pending
        finder = SideFinder(text, sentence, vocabulary)
        asks = folded[start:end].rstrip().endswith("?")
        statuses = read_context(sentence, vocabulary, finder.denials(), asks)
        sides = finder.find([status.status == "absent" for status in statuses])
        found = [
            Assertion(
                mention.label,
                status.status,
                side,
                mention.start,
                mention.end,
                status.historical,
            )
            for mention, status, side in zip(sentence.mentions, statuses, sides, strict=True)
            if mention.label and status.is_asserted
        ]
        pending = found if asks else []
        yield from () if asks else found
    yield from pending


def asserted_findings(note: Note) -> tuple[tuple[str, Side], ...]:
    """Return the findings that a note asserts as present, each once, with its side.

    Historical findings are excluded. Left and right together are bilateral; a mention without a
    side is ignored if another one has a side.

    Returns
    -------
    tuple of (label, side)
        First those of :data:`FINDINGS` in their order, then the others by name.
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
