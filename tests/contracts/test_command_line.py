"""What every verb promises: help with an example, JSON, its exit codes, a light start."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import medembed.errors as errors
from medembed.cli import build, command

ROOT = typer.main.get_command(build())
VERBS = dict(ROOT.commands)  # type: ignore[attr-defined]
OF_DESIGN = {
    "demo",
    "ingest",
    "check-encoder",
    "train",
    "embed",
    "index",
    "search",
    "evaluate",
    "audit",
    "check",
    "show",
    "erase",
    "verify",
    "backup",
    "restore",
    "export",
    "app",
    "serve",
}
BESIDE_THE_DESIGN = {
    "compare-models",
    "export-vectors",
    "import-vectors",
    "journal",
    "remove-model",
    "reviews",
    "token",
    "use",
    "vocabulary",
}


def medembed(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "medembed.cli", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=env,
    )


def test_the_verbs_are_those_of_the_design_and_none_that_the_readme_calls_missing() -> None:
    assert set(VERBS) == OF_DESIGN | BESIDE_THE_DESIGN
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    missing = readme.partition("## What it does not do yet")[2].partition("\n## ")[0]
    later = set(re.findall(r"\(`([a-z]+)`\)", missing))
    assert later == set()
    assert later & set(VERBS) == set()


@pytest.mark.parametrize("name", sorted(VERBS))
def test_help_says_what_it_does_and_shows_an_example(name: str) -> None:
    text = VERBS[name].help or ""
    assert f"medembed {name}" in text, "an example"
    for parameter in VERBS[name].params:
        assert getattr(parameter, "help", ""), f"{parameter.name} has no help"


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_speaks_json(name: str) -> None:
    options = {flag for parameter in VERBS[name].params for flag in getattr(parameter, "opts", ())}
    assert "--json" in options


@pytest.mark.parametrize("name", sorted(OF_DESIGN - {"demo", "ingest", "show"}))
def test_a_missing_library_is_one_line_and_exit_2(name: str, tmp_path: Path) -> None:
    words = [name, str(tmp_path / "nowhere"), "--json"]
    if name == "search":
        words += ["--text", "effusion"]
    if name == "train":
        words += ["--config", "demo"]
    if name in ("backup", "restore", "export"):
        words += [str(tmp_path / "target")]
    done = medembed(*words)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("medembed: ")


def test_the_version_is_said_without_a_verb() -> None:
    done = medembed("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("medembed ")


def test_a_wrong_option_is_one_line_and_exit_2() -> None:
    done = medembed("search", "somewhere", "--colour", "red")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_fault_of_ours_is_exit_1_without_its_message(tmp_path: Path) -> None:
    code = (
        "from medembed.cli.command import run_guarded\n"
        "def act(): raise RuntimeError('Doe^Jane 1950-01-01')\n"
        "run_guarded(act)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Doe" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "RuntimeError" in done.stderr


def test_help_and_import_load_no_torch() -> None:
    code = (
        "import sys, json, medembed, medembed.cli\n"
        "medembed.cli.build()\n"
        "heavy = {'torch', 'monai', 'transformers', 'streamlit', 'pandas', 'faiss', 'scipy'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_the_gates_exit_code_is_used_by_the_audit_alone() -> None:
    """No other way out of the command line can be taken for a gate that did not pass."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.MedEmbedError)}
    codes |= {command.EXIT_FAULT, command.EXIT_USER, command.EXIT_STOPPED}
    assert command.EXIT_GATE not in codes
    assert command.EXIT_GATE not in {0, 120}  # done, and Python that could not flush its streams
    users, bare = set(), set()
    root = Path(command.__file__).parents[2]
    for file in [
        f for part in ("medembed", "evaluation", "apps") for f in (root / part).rglob("*.py")
    ]:
        where = file.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name) and node.id == "EXIT_GATE":
                users.add(where)
            if isinstance(node, ast.Call) and _leaves(node):
                given = [*node.args, *(word.value for word in node.keywords)]
                if any(isinstance(a, ast.Constant) and a.value == command.EXIT_GATE for a in given):
                    bare.add(where)
    assert users == {"medembed/cli/command.py", "apps/audit.py"}
    assert bare == set()


def _leaves(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name in {"SystemExit", "Exit", "exit", "_exit", "fail"}


def test_a_reader_that_has_gone_ends_the_command_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "medembed.cli", "show", "sources"],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
