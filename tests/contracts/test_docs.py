"""The docs say what is there: links resolve, the command-line reference is that of this tree."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from contracts.docs_source import command_line_reference

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
).stdout.split("\n")
PAGES = [ROOT / name for name in TRACKED if name.endswith(".md") and (ROOT / name).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:|#", target):
            continue
        assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_path_named_on_a_page_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:medembed|evaluation|apps|tests|configs)/[\w/.-]+)`", text))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_command_line_reference_is_that_of_this_tree() -> None:
    page = ROOT / "docs/reference/command-line.md"
    assert page.read_text(encoding="utf-8") == command_line_reference(), (
        "regenerate: .venv/bin/python tests/contracts/docs_source.py"
    )


def test_every_decision_is_numbered_once_and_says_why() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    index = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\((\d{4}-[^)]+\.md)\)", index)) == {path.name for path in decisions}
    numbers = [path.name[:4] for path in decisions]
    assert len(set(numbers)) == len(numbers)
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        # a heading, a paragraph or a sentence "Why ...": with its reason after it
        assert re.search(r"^## Why\s+\S|\bWhy\b[^?\n]{0,80}[.:]\W+\w", text, re.MULTILINE), (
            path.name
        )


def test_nothing_names_a_path_of_one_machine_or_a_package_host() -> None:
    own = Path(__file__).name
    found = []
    for name in TRACKED:
        path = ROOT / name
        if path.name == own or path.suffix not in {
            ".py",
            ".md",
            ".toml",
            ".yaml",
            ".txt",
            ".css",
            "",
        }:
            continue
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        if re.search(
            r"(?<![\w.])/(?:work|home|root)/[a-z]|index-url|find-links|trusted-host", text
        ):
            found.append(name)
    assert not found


def test_a_config_opens_with_a_sentence_on_its_use() -> None:
    configs = sorted((ROOT / "configs").glob("*.yaml"))
    assert configs
    for path in configs:
        assert re.match(r"# \S.*", path.read_text(encoding="utf-8")), path.name


def test_the_machine_errors_on_the_page_are_those_of_the_code() -> None:
    """Each part of a quoted line, between ellipses and semicolons, is written in the code."""
    page = (ROOT / "docs/reference/library.md").read_text(encoding="utf-8")
    table = page.partition("| problem | line |")[2].partition("\n\n")[0]
    lines = re.findall(r"`([^`]+)`", table)
    assert len(lines) >= 8
    files = [*(ROOT / "medembed/library").glob("*.py"), ROOT / "medembed/machine_faults.py"]
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    for line in lines:
        for part in re.split(r"…|; |: ", line):
            words = part.strip(" ,")
            assert words == "library.sqlite" or words in source, words


BRITISH = re.compile(
    r"\b(colours?|coloured|grey|licen(?:ce|ces)|neighbours?|(?:milli)?metres?|honoured|oedema|"
    r"behaviours?|catalogues?|judgements?|learnt|labelled|modelled|centres?|centred|"
    r"recognise\w*|normalise\w*|analyse\w*|summarise\w*)\b",
    re.IGNORECASE,
)
MEASURED = {"demo.md"}  # a table of an earlier run, with the queries of that run


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_docs_are_in_us_spelling(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    found = set(BRITISH.findall(text))
    assert found <= ({"oedema"} if page.name in MEASURED else set())
