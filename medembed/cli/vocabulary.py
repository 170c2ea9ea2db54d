"""The verb ``vocabulary``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medembed.cli.command import EXIT_USER, AsJson, emit, verb
from medembed.counted import counted
from medembed.errors import InputError

if TYPE_CHECKING:
    from medembed.notes import Vocabulary
    from medembed.notes.vocabulary_tests import Failure

__all__ = ["vocabulary"]


@verb
def vocabulary(
    action: Annotated[str, typer.Argument(metavar="check", help="The action; only check exists.")],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A vocabulary: a YAML file, en or de.")
    ],
    tests: Annotated[
        Path | None,
        typer.Option(
            "--tests", metavar="FILE", help="YAML file of sentences with the expected findings."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a vocabulary for reports: its format, its phrases and its tests.

    The exit code is 2 if it is invalid or a test fails. docs/reference/vocabulary.md describes both
    file formats.

    Example: medembed vocabulary check our-words.yaml --tests our-tests.yaml
    """
    if action != "check":
        raise InputError(f"unknown action {action!r}", where="vocabulary", hint="use check")
    from medembed.notes import load_vocabulary
    from medembed.notes.vocabulary_tests import failures, read_tests

    loaded = load_vocabulary(file)
    wanted = read_tests(tests) if tests else ()
    failed = list(failures(loaded, wanted))
    emit(
        _payload(loaded, len(wanted), failed), as_json, lambda: _print(loaded, len(wanted), failed)
    )
    if failed:
        raise SystemExit(EXIT_USER)


def _payload(loaded: Vocabulary, n_tests: int, failed: list[Failure]) -> dict[str, Any]:
    return {
        "name": loaded.name,
        "language": loaded.language,
        "findings": len(loaded.findings),
        "digest": loaded.digest,
        "tests": n_tests,
        "failed": [
            {
                "number": failure.number,
                "text": failure.text,
                "expected": list(failure.expected),
                "got": list(failure.got),
            }
            for failure in failed
        ],
    }


def _print(loaded: Vocabulary, n_tests: int, failed: list[Failure]) -> None:
    lines = [
        f"{loaded.name} ({loaded.language}): {counted(len(loaded.findings), 'finding')}, valid"
    ]
    if n_tests:
        passed = n_tests - len(failed)
        lines.append(f"{passed} of {counted(n_tests, 'test')} passed")
    for failure in failed:
        lines += [
            f"  test {failure.number}: {' '.join(failure.text.split())}",
            f"    expected: {'; '.join(failure.expected) or 'nothing'}",
            f"    got:      {'; '.join(failure.got) or 'nothing'}",
        ]
    sys.stdout.write("\n".join(lines) + "\n")
