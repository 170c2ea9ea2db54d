"""The catalogue of texts: each is used, and each that is asked for is there."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import evaluation.report as package
from evaluation.report.changes import TURNS
from evaluation.report.page import SECTIONS
from evaluation.report.texts import MEASURES, PLACES, SECTION_VERDICTS, TEXTS, VERDICTS
from evaluation.stats.verdict import Answer, Verdict

FOLDER = Path(package.__file__).parent
SOURCES = [*FOLDER.glob("*.py"), *FOLDER.glob("templates/*.j2")]
SOURCE = "\n".join(path.read_text() for path in SOURCES)
ASKED = re.compile(r"""["']([a-z_]+(?:\.[a-z_]+)*)["']""")
JOINED = re.compile(
    r"""["'f]([a-z_]+\.)["']\s*~|f"([a-z_]+\.)\{|~\s*["'](\.[a-z_]+)["']|\}(\.[a-z_]+)\""""
)


def test_every_text_is_asked_for() -> None:
    whole = set(ASKED.findall(SOURCE))
    parts = {part for found in JOINED.findall(SOURCE) for part in found if part}
    starts = tuple(part for part in parts if part.endswith("."))
    ends = tuple(part for part in parts if part.startswith("."))
    for key in TEXTS:
        assert key in whole or key.startswith(starts) or key.endswith(ends), key


def test_a_singular_has_its_plural_and_both_take_the_same_words() -> None:
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    plurals = [text for key, text in TEXTS.items() if "|" in text and ".columns" not in key]
    assert len(plurals) > 15
    for text in plurals:
        one, many = text.split("|")
        assert fields(one) == fields(many), text


def test_every_verdict_section_and_answer_of_the_gate_has_its_words() -> None:
    assert set(VERDICTS) == {*Verdict, "worse", "improved", "no_change_shown"}
    assert set(SECTION_VERDICTS) <= set(SECTIONS)
    for section in SECTIONS:
        assert {f"{section}.intro", f"{section}.columns", f"overview.{section}"} <= set(TEXTS)
        assert section in PLACES
    assert {f"gate.{answer}" for answer in Answer} <= set(TEXTS)
    for key in (*(key for key in TEXTS if key.endswith(".columns")),):
        assert all(head.strip() for head in TEXTS[key].split("|")), key
    assert all(len(pair) == 2 for pair in MEASURES.values())
    assert "other" in TURNS


def test_the_templates_hold_no_sentences_of_their_own() -> None:
    for path in FOLDER.glob("templates/*.html.j2"):
        text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", " ", path.read_text(), flags=re.S)
        assert re.findall(r"[A-Za-z]{3,}", text) == [], path.name
