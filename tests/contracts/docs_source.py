"""Write docs/reference/command-line.md from the help of the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from medembed.cli import build

PAGE = Path(__file__).parents[2] / "docs/reference/command-line.md"


def command_line_reference() -> str:
    """Format the help of every command as Markdown."""
    root = typer.main.get_command(build())
    parts = [
        "# Command line",
        "",
        "Generated from `--help` by `tests/contracts/docs_source.py`; a test keeps it up to date.",
        "",
        "Exit codes: 0 success · 2 a problem you can fix, in one line · 1 an internal error ·",
        "130 interrupted by Ctrl-C (run the same command to resume) · 3 only from `audit --gate`:",
        "the gate did not pass. With `--json`, stdout is a single JSON object; progress and notes",
        "go to stderr.",
    ]
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        parts += ["", f"## medembed {name}", ""]
        parts += [
            _paragraphs(command.help or ""),
            "",
            "| argument or option | meaning |",
            "|---|---|",
        ]
        context = typer.Context(command, info_name=name)
        for parameter in command.get_params(context):
            record = _record(parameter, context)
            if record:
                parts.append(f"| `{record[0]}` | {record[1]} |")
    return "\n".join(parts) + "\n"


def _paragraphs(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.replace("\b\n", "").strip().splitlines())


def _record(parameter: Any, context: typer.Context) -> tuple[str, str] | None:
    if parameter.param_type_name == "option":
        record = parameter.get_help_record(context)
        if record is None:
            return None
        return _cell(record[0]), _cell(record[1])
    name = parameter.metavar or parameter.name.upper()
    return _cell(name), _cell(getattr(parameter, "help", "") or "")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    PAGE.write_text(command_line_reference(), encoding="utf-8")
