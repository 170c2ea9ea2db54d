"""The command line: ``medembed VERB LIBRARY``.

Each verb is a function in its own module; ``evaluation``, ``apps`` and other packages add theirs
by the entry points ``medembed.commands``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import typer

from medembed.cli.command import EXIT_STOPPED, EXIT_USER, fail, note, run_guarded

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

__all__ = ["build", "run"]

_VERBS = (
    "ingest", "check-encoder", "train", "use", "embed", "index", "search", "check", "show",
    "vocabulary", "import-vectors", "export-vectors", "remove-model", "erase", "verify",
    "backup", "restore", "export", "journal",
)  # fmt: skip
_ORDER = (
    "demo", "ingest", "check-encoder", "train", "use", "embed", "index", "search", "evaluate",
    "audit", "compare-models", "check", "show", "vocabulary", "import-vectors", "export-vectors",
    "remove-model", "erase", "verify", "journal", "backup", "restore", "export", "reviews", "app",
    "serve", "token",
)  # fmt: skip


def build(only: str | None = None) -> typer.Typer:
    """Build the command line from its verbs, in the order of a scan's path through the program.

    Parameters
    ----------
    only : str, optional
        Load only this verb, if it is in this package, which saves a tenth of a second.
    """
    app = typer.Typer(
        name="medembed",
        help="Find the most similar past cases of your own hospital by scan, by text, or both.",
        epilog="Start with: medembed demo",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    functions = {
        name: getattr(import_module(f"medembed.cli.{module}"), module)
        for name in ((only,) if only in _VERBS else _VERBS)
        if find_spec(f"medembed.cli.{(module := name.replace('-', '_'))}")
    }
    for point in () if only in _VERBS else _joined():
        try:
            functions[point.name] = point.load()
        except (ImportError, AttributeError):
            note(f"medembed: cannot load the verb {point.name!r} from {point.value!r}; skipped")
    ranked = sorted(functions, key=lambda n: _ORDER.index(n) if n in _ORDER else len(_ORDER))
    for name in ranked:
        app.command(name)(functions[name])

    def print_version(requested: bool) -> None:
        if requested:
            from importlib.metadata import version as version_of

            sys.stdout.write(f"medembed {version_of('medembed')}\n")
            raise typer.Exit

    @app.callback()
    def root(
        version: bool = typer.Option(
            False,
            "--version",
            callback=print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ) -> None:
        pass

    return app


def _joined() -> EntryPoints:
    """Verbs of evaluation, apps and other packages."""
    from importlib.metadata import entry_points

    return entry_points(group="medembed.commands")


def run() -> None:
    """Run the installed command.

    Raises
    ------
    SystemExit
        Always: 0 if the verb did its work, 2 after one line on stderr if the call itself is wrong,
        130 if the user aborted, else the verb's own exit code.
    """
    run_guarded(_call)


def _call() -> None:
    try:
        code = build(sys.argv[1] if len(sys.argv) > 1 else None)(standalone_mode=False)
    except typer.Abort:
        fail("interrupted; run the same command to resume", EXIT_STOPPED)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        line = " ".join(error.format_message().split())
        if len(sys.argv) == 1:
            sys.stdout.write(error.format_message() + "\n")
            raise SystemExit(EXIT_USER) from None
        fail(f"{line} (see {context.command_path if context else 'medembed'} --help)", EXIT_USER)
    raise SystemExit(code if isinstance(code, int) else 0)
