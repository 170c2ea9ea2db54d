"""Tests of a vocabulary: sentences with expected assertions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from medembed.notes.note import Note
from medembed.notes.parse import read_note
from medembed.notes.vocabulary import Vocabulary, check_form, read_yaml
from medembed.notes.vocabulary_file import current_label

__all__ = ["Failure", "VocabularyTest", "failures", "read_tests", "stated"]

_STATED = r"^[a-z][a-z0-9 /'-]* (present|absent|uncertain)( (left|right|bilateral))?( historical)?$"


def _with_current_label(expected: str) -> str:
    label, status, rest = re.split(r" (present|absent|uncertain)", expected, maxsplit=1)
    return f"{current_label(label)} {status}{rest}"


class VocabularyTest(BaseModel):
    """A text and its expected assertions, each ``label status [side] [historical]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[str, StringConstraints(min_length=1)]
    expect: tuple[
        Annotated[str, StringConstraints(pattern=_STATED), AfterValidator(_with_current_label)], ...
    ]
    why: str = ""


class _TestFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    language: str = ""
    tests: tuple[VocabularyTest, ...]


@dataclass(frozen=True)
class Failure:
    """A test that failed.

    Parameters
    ----------
    number : int
        From 1.
    text : str
    expected, got : tuple of str
    """

    number: int
    text: str
    expected: tuple[str, ...]
    got: tuple[str, ...]


def read_tests(path: Path) -> tuple[VocabularyTest, ...]:
    """Read a file of tests.

    Raises
    ------
    ConfigError
        If the file is not valid.
    """
    return check_form(read_yaml(path), _TestFile, path.name).tests


def failures(vocabulary: Vocabulary, tests: tuple[VocabularyTest, ...]) -> Iterator[Failure]:
    """Yield the tests that a vocabulary fails."""
    for number, test in enumerate(tests, 1):
        got = stated(read_note(test.text, vocabulary))
        if Counter(got) != Counter(test.expect):
            yield Failure(number, test.text, test.expect, got)


def stated(note: Note) -> tuple[str, ...]:
    """Return the assertions of a note in the format of a test file, in text order."""
    return tuple(
        " ".join(
            part
            for part in (a.label, a.status, a.side, "historical" if a.historical else "")
            if part
        )
        for a in note.assertions
    )
