"""Shared by all verbs: exit codes, one-line errors, JSON on stdout, progress on stderr."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec

import typer

from medembed.errors import MedEmbedError
from medembed.progress import Progress, no_progress

__all__ = [
    "AsJson",
    "LibraryPath",
    "ProgressBars",
    "emit",
    "fail",
    "note",
    "progress_bar",
    "run_guarded",
    "verb",
]

P = ParamSpec("P")


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
LibraryPath = Annotated[Path, typer.Argument(metavar="LIBRARY", help="Folder of the library.")]

EXIT_FAULT, EXIT_USER, EXIT_STOPPED = 1, 2, 130
EXIT_GATE = 3
"""Only of ``audit --gate``: the audit ran and its gate failed. A pipeline can distinguish it from a
mistyped option (2) or a crash (1); neither Python (1, 2, 120) nor click (1, 2) uses it."""

_OWN_NAME = re.compile(
    r"library\.sqlite.*|journal\.(sqlite.*|head)|(model|training|index)\.json|checkpoint\.pt|weights\.safetensors"
    r"|ingest-refusals\.csv|pixels-[0-9a-f]+\.\w+|(audit|report)\.(html|json|csv)"
)


def fail(line: str, code: int) -> NoReturn:
    """Print one line on stderr and exit with ``code``."""
    sys.stderr.write(f"medembed: {line}\n")
    raise SystemExit(code)


def run_guarded(action: Callable[[], object]) -> None:
    """Run ``action``; turn an exception into one line on stderr and an exit code.

    Exit 2 is a problem the user can fix, 1 an internal error, 130 an interruption. An unexpected
    exception is reported by type and line only, since its message may contain a patient's data;
    ``MEDEMBED_DEBUG=1`` shows the traceback.
    """
    try:
        action()
        sys.stdout.flush()  # here, so that a closed pipe is handled below
    except MedEmbedError as error:
        if os.environ.get("MEDEMBED_DEBUG"):
            traceback.print_exc()
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted; run the same command to resume", EXIT_STOPPED)
    except BrokenPipeError:
        # stdout's reader has closed it; Python's own flush at exit must not fail too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except (OSError, MemoryError) as error:
        if os.environ.get("MEDEMBED_DEBUG"):
            traceback.print_exc()
        fail(_machine_line(error), EXIT_USER)
    except Exception as error:  # noqa: BLE001  no traceback reaches the user
        if os.environ.get("MEDEMBED_DEBUG"):
            traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        fail(
            f"internal error ({type(error).__name__} at {where}); "
            "please report it; MEDEMBED_DEBUG=1 shows the traceback",
            EXIT_FAULT,
        )


def _machine_line(error: OSError | MemoryError) -> str:
    """Describe a system error; only names of our own files are shown, others may name a patient."""
    from medembed.library.faults import explain_os_error

    if isinstance(error, MemoryError):
        error = OSError(errno.ENOMEM, "")
    what, hint = explain_os_error(error)
    name = Path(os.fsdecode(error.filename)).name if isinstance(error.filename, str) else ""
    where = f"{name}: " if _OWN_NAME.fullmatch(name) else ""
    return f"{where}{what}; {hint}" if hint else f"{where}{what}"


def verb(function: Callable[P, None]) -> Callable[P, None]:
    """Make ``function`` a verb: its errors become one line and an exit code."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        run_guarded(lambda: function(*args, **kwargs))

    return guarded


def emit(payload: Mapping[str, Any], as_json: bool, human: Callable[[], None]) -> None:
    """Print the result: ``payload`` as one JSON object, or whatever ``human()`` prints."""
    if as_json:
        sys.stdout.write(json.dumps(payload, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        human()


def note(line: str) -> None:
    """Print one line on stderr."""
    sys.stderr.write(line + "\n")


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """Show a progress bar on stderr; yields a callback of (done, total)."""
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


class ProgressBars:
    """Progress bars of which the one reported to last is shown."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._shown = ""
        self._bar: Progress = no_progress

    def __enter__(self) -> ProgressBars:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def named(self, what: str) -> Progress:
        """Return a callback that shows the bar of this name, in place of another."""

        def report(done: int, total: int | None) -> None:
            if self._shown != what:
                self._stack.close()
                self._bar = self._stack.enter_context(progress_bar(what))
                self._shown = what
            self._bar(done, total)

        return report
