"""What all verbs share: exit codes, one-line errors, JSON on stdout, progress on stderr."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec

import typer

from medembed.errors import MedEmbedError

__all__ = [
    "AsJson",
    "LibraryPath",
    "Progress",
    "emit",
    "fail",
    "note",
    "progress_bar",
    "run_guarded",
    "verb",
]

P = ParamSpec("P")

Progress = Callable[[int, int | None], None]
"""Called with how many are done and, where known, how many there are."""

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for machines.")]
LibraryPath = Annotated[Path, typer.Argument(metavar="LIBRARY", help="Folder of the case library.")]

EXIT_FAULT, EXIT_USER, EXIT_STOPPED = 1, 2, 130
EXIT_GATE = 3
"""Of ``audit --gate`` alone: the audit was done, and its gate did not pass. A pipeline can tell it
from a mistyped option (2) or a crash (1); neither Python (1, 2, 120) nor click (1, 2) uses it."""

_OWN_NAME = re.compile(
    r"library\.sqlite.*|(model|training|index)\.json|checkpoint\.pt|weights\.safetensors"
    r"|ingest-refusals\.csv|pixels-[0-9a-f]+\.\w+|(audit|report)\.(html|json|csv)"
)


def fail(line: str, code: int) -> NoReturn:
    """Say one line on stderr and leave with ``code``."""
    sys.stderr.write(f"medembed: {line}\n")
    raise SystemExit(code)


def run_guarded(action: Callable[[], object]) -> None:
    """Run ``action`` and turn what it raises into one line and an exit code.

    Exit 2 is the user's to mend, 1 a fault of ours, 130 an interruption. A foreign exception is
    named by its type and place only, since its message may hold a patient's value;
    ``MEDEMBED_DEBUG=1`` shows the traceback.
    """
    try:
        action()
        sys.stdout.flush()  # here, where a reader that has gone can still be handled
    except MedEmbedError as error:
        if os.environ.get("MEDEMBED_DEBUG"):
            traceback.print_exc()
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted; run the same command to resume", EXIT_STOPPED)
    except BrokenPipeError:
        # the reader has gone: Python's own flush at the end must not fail as well
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except (OSError, MemoryError) as error:
        if os.environ.get("MEDEMBED_DEBUG"):
            traceback.print_exc()
        fail(_machine_line(error), EXIT_USER)
    except Exception as error:  # noqa: BLE001  the last line of defence against a traceback
        if os.environ.get("MEDEMBED_DEBUG"):
            traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        fail(
            f"internal fault ({type(error).__name__} at {where}); "
            "please report it; MEDEMBED_DEBUG=1 shows more",
            EXIT_FAULT,
        )


def _machine_line(error: OSError | MemoryError) -> str:
    """Say what an error of the machine is; a file's name may be a patient's, unless it is ours."""
    from medembed.library.faults import words_of

    if isinstance(error, MemoryError):
        error = OSError(errno.ENOMEM, "")
    what, hint = words_of(error)
    name = Path(os.fsdecode(error.filename)).name if isinstance(error.filename, str) else ""
    where = f"{name}: " if _OWN_NAME.fullmatch(name) else ""
    return f"{where}{what}; {hint}" if hint else f"{where}{what}"


def verb(function: Callable[P, None]) -> Callable[P, None]:
    """Make ``function`` a verb of the command line: its errors become one line and a code."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        run_guarded(lambda: function(*args, **kwargs))

    return guarded


def emit(payload: Mapping[str, Any], as_json: bool, human: Callable[[], None]) -> None:
    """Give the result: ``payload`` as one JSON object on stdout, or ``human()`` for a person."""
    if as_json:
        sys.stdout.write(json.dumps(payload, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        human()


def note(line: str) -> None:
    """Say one line to a person, on stderr."""
    sys.stderr.write(line + "\n")


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """Show a bar on stderr with rate and time left; gives a callback of (done, total)."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    last = 0

    with bars:
        task = bars.add_task(what, total=None)

        def report(done: int, total: int | None) -> None:
            nonlocal last
            bars.update(task, completed=done, total=total)
            if not console.is_terminal and total and done < total and done - last >= total / 5:
                last = done
                note(f"{what}: {done} of {total}")

        yield report
    if not console.is_terminal and bars.tasks[0].completed:
        note(f"{what}: {int(bars.tasks[0].completed)} done in {bars.tasks[0].elapsed or 0:.0f} s")
