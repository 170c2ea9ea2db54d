"""Notes on a search: what a reader should know besides the hits, and the English for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from medembed.counted import counted

__all__ = ["SearchNote", "SearchNoteKind", "notes_on_count"]

_MOST_NAMED = 5


class SearchNoteKind(StrEnum):
    """What a :class:`SearchNote` reports; in parentheses, its numbers or names."""

    INDEX_BUILT = "index built"
    """(cases)"""
    INDEX_UPDATED = "index updated"
    """(vectors added, vectors removed)"""
    INDEX_REBUILT = "index rebuilt"
    """As requested (cases)."""
    INDEX_REPLACED = "index replaced"
    """The files were damaged or belonged to another library (cases)."""
    INDEX_NOT_SAVED = "index not saved"
    SERVER_UPDATED = "server updated"
    """(vectors sent to the index server, vectors removed there)"""
    NO_GPU = "no GPU"
    """The library is set to use one, and FAISS sees none."""
    GPU_FAILED = "GPU failed"
    """Its memory, mostly, does not suffice."""
    MODEL_COLLAPSED = "model collapsed"
    """The model is kept but never activated."""
    TEXT_CUT = "text cut"
    """(the model's limit in tokens)"""
    UNKNOWN_WORDS = "unknown words"
    """Findings of the query that the vocabulary does not have (names)."""
    READ_AS = "read as"
    """What the words of the query ask for, deny, or name as an attribute (names)."""
    NO_SUCH_CASE = "no such case"
    """Attributes of the query that no case has (names)."""
    ARCHIVE_LACKS = "archive lacks"
    """Modality, view and body part of the query's image that no case has (names)."""
    NO_REPORT = "no report"
    """(cases about whose findings nothing is known)"""
    OUT_OF_DEPTH = "out of depth"
    """The text names nothing known and is unlike the library's reports."""
    UNKNOWN_FINDINGS = "unknown findings"
    """Findings of conditions that neither the vocabulary nor a case has (names)."""
    OWN_CASES = "own cases"
    """Cases that are the query itself (names)."""
    OWN_PATIENT = "own patient"
    """(cases excluded, patients that the query may belong to)"""
    MARKED_PATIENTS = "marked patients"
    """(cases excluded, patients of the cases marked as like or unlike)"""
    DUPLICATES = "duplicates"
    """(cases listed beside a hit that shows the same image)"""
    DIVERSIFIED = "diversified"
    """(first hits among which unlike ones were preferred)"""
    RERANKED = "reranked"
    """(first hits that were read together with the text, those whose image could not be read)"""
    FEWER_HITS = "fewer hits"
    """(cases found, cases requested)"""
    FEWER_PATIENTS = "fewer patients"
    """(patients found, patients requested)"""
    NO_MATCH = "no match"


@dataclass(frozen=True)
class SearchNote:
    """One note. Programs read the kind and the values; ``str`` gives an English clause.

    Parameters
    ----------
    kind : SearchNoteKind
    numbers : tuple of int
        Their meaning is listed in :class:`SearchNoteKind`.
    names : tuple of str
        Findings or case ids.
    """

    kind: SearchNoteKind
    numbers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return _ENGLISH[self.kind](self)


def notes_on_count(found: int, wanted: int) -> tuple[SearchNote, ...]:
    """Return what to say if ``found`` cases can be named, and ``wanted`` were asked for."""
    if not found:
        return (SearchNote(SearchNoteKind.NO_MATCH),)
    if found < wanted:
        return (SearchNote(SearchNoteKind.FEWER_HITS, (found, wanted)),)
    return ()


def _own_cases(note: SearchNote) -> str:
    named = ", ".join(note.names[:_MOST_NAMED])
    more = len(note.names) - _MOST_NAMED
    tail = f" and {more} more" if more > 0 else ""
    noun = "case" if len(note.names) == 1 else "cases"
    return f"this image is in the library: {noun} {named}{tail}"


def _own_patient(note: SearchNote) -> str:
    n_cases, n_patients = note.numbers
    if n_patients > 1:
        return (
            f"excluded {counted(n_cases, 'case')} of the {n_patients} patients "
            "the query may belong to"
        )
    return f"excluded {counted(n_cases, 'case')} of the query's own patient"


def _reranked(note: SearchNote) -> str:
    n_read, n_unread = note.numbers
    line = (
        f"the first {counted(n_read, 'hit')} reordered by reading image and text together; "
        "the scores shown are those of the search"
    )
    return f"{line}; {counted(n_unread, 'image')} could not be read" if n_unread else line


def _fewer_hits(note: SearchNote) -> str:
    found, requested = note.numbers
    return f"only {found} of the {requested} requested cases {'matches' if found == 1 else 'match'}"


_ENGLISH: Mapping[SearchNoteKind, Callable[[SearchNote], str]] = MappingProxyType(
    {
        SearchNoteKind.INDEX_BUILT: lambda n: f"index built: {counted(n.numbers[0], 'case')}",
        SearchNoteKind.INDEX_UPDATED: lambda n: (
            f"index updated: {counted(n.numbers[0], 'vector')} added, {n.numbers[1]} removed"
        ),
        SearchNoteKind.INDEX_REBUILT: lambda n: f"index rebuilt: {counted(n.numbers[0], 'case')}",
        SearchNoteKind.INDEX_REPLACED: lambda n: (
            f"index rebuilt: {counted(n.numbers[0], 'case')} "
            "(its files were damaged, of another version, or of another library)"
        ),
        SearchNoteKind.INDEX_NOT_SAVED: lambda _: "the index files could not be written",
        SearchNoteKind.SERVER_UPDATED: lambda n: (
            f"index server updated: {counted(n.numbers[0], 'vector')} sent, {n.numbers[1]} removed"
        ),
        SearchNoteKind.NO_GPU: lambda _: (
            "no GPU is seen here, which the library is set to use: compared on the processor, "
            "with the same answers"
        ),
        SearchNoteKind.GPU_FAILED: lambda _: (
            "the GPU could not do it (too little free memory?): compared on the processor, "
            "with the same answers"
        ),
        SearchNoteKind.MODEL_COLLAPSED: lambda _: (
            "this model collapsed in training; do not rely on the order of the hits"
        ),
        SearchNoteKind.TEXT_CUT: lambda n: (
            f"text cut after {counted(n.numbers[0], 'token')}, the model's limit"
        ),
        SearchNoteKind.UNKNOWN_WORDS: lambda n: (
            f"not in this library's vocabulary: {', '.join(n.names)}; compared by wording only"
        ),
        SearchNoteKind.READ_AS: lambda n: f"read as: {', '.join(n.names)}",
        SearchNoteKind.NO_SUCH_CASE: lambda n: f"no case here has {', '.join(n.names)}",
        SearchNoteKind.ARCHIVE_LACKS: lambda n: f"the archive holds no {', no '.join(n.names)}",
        SearchNoteKind.DUPLICATES: lambda n: (
            f"{counted(n.numbers[0], 'case')} with the same image as a hit listed beside it"
        ),
        SearchNoteKind.DIVERSIFIED: lambda n: (
            f"cases unlike each other preferred among the first {counted(n.numbers[0], 'hit')}; "
            "the scores shown do not descend"
        ),
        SearchNoteKind.NO_REPORT: lambda n: (
            f"{counted(n.numbers[0], 'case')} without a readable report: ranked by image only"
        ),
        SearchNoteKind.OUT_OF_DEPTH: lambda _: (
            "this text names nothing known here and is unlike this library's reports; "
            "do not rely on the hits"
        ),
        SearchNoteKind.UNKNOWN_FINDINGS: lambda n: (
            "unknown finding, in neither the library nor its vocabulary: " + ", ".join(n.names)
        ),
        SearchNoteKind.OWN_CASES: _own_cases,
        SearchNoteKind.OWN_PATIENT: _own_patient,
        SearchNoteKind.MARKED_PATIENTS: lambda n: (
            f"excluded {counted(n.numbers[0], 'case')} of patients with a marked case"
        ),
        SearchNoteKind.RERANKED: _reranked,
        SearchNoteKind.FEWER_HITS: _fewer_hits,
        SearchNoteKind.FEWER_PATIENTS: lambda n: (
            f"only {n.numbers[0]} of the {n.numbers[1]} requested patients "
            f"{'has' if n.numbers[0] == 1 else 'have'} a matching case"
        ),
        SearchNoteKind.NO_MATCH: lambda _: "no cases match",
    }
)
