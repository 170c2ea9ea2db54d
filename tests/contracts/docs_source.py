"""Writes docs/reference/command-line.md from the verbs' own help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from medembed.cli import build

PAGE = Path(__file__).parents[2] / "docs/reference/command-line.md"


def command_line_reference() -> str:
    """Markdown of every verb's help, plain and 92 columns wide."""
    root = typer.main.get_command(build())
    parts = [
        "# Command line",
        "",
        "Generated from the verbs' `--help` by `tests/contracts/docs_source.py`;",
        "a test keeps it up to date.",
        "",
        "Exit codes: 0 success · 2 a problem you can fix, in one line · 1 an internal error ·",
        "130 interrupted by Ctrl-C (run the same command to resume) · 3 only from `audit --gate`:",
        "the gate failed. With `--json`, stdout holds one JSON object and nothing else; progress",
        "and notes go to stderr.",
    ]
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        parts += ["", f"## medembed {name}", ""]
        parts += [
            _paragraphs(command.help or ""),
            "",
            "| argument or option | what it is |",
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
