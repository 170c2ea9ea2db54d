"""The vocabulary is data: its form, its notation, its own tests, and what a library keeps of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.example_files import write_csv, write_dicom

from medembed.cli import run
from medembed.errors import ConfigError
from medembed.library import CaseLibrary, library_vocabulary
from medembed.notes import (
    FINDINGS,
    FORMER_LABELS,
    SIDED_FINDINGS,
    VocabularyDocument,
    canonical_label,
    is_known_finding,
    load_vocabulary,
    read_note,
    unknown_findings,
    vocabulary_of,
)
from medembed.notes.patterns import Phrases, expand, tokens_of
from medembed.notes.vocabulary_tests import failures, read_tests, stated

SITE = """
version: 1
name: our-hospital
language: en
extends: en
findings:
  - label: effusion
    names: ["pleural wetness"]
  - label: our sign
    sided: true
    names: ["zebra sign(s)"]
remove: [fibrosis]
lookalikes: ["zebra sign of the knee"]
triggers:
  - kind: absent
    words: ["nowhere a"]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "our.yaml"
    path.write_text(SITE, encoding="utf-8")
    return path


@pytest.fixture
def medembed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["medembed", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            run()
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return call


# ---------------------------------------------------------------- the packaged one


def test_the_core_findings_are_those_of_the_embedded_cohort() -> None:
    findings = load_vocabulary("en").findings
    assert set(FINDINGS) <= set(findings)
    assert {label for label in FINDINGS if findings[label].sided} == set(SIDED_FINDINGS)
    assert len(findings) >= 120


def test_labels_of_tables_are_brought_to_the_vocabulary() -> None:
    assert canonical_label("Pleural Effusion") == "effusion"
    assert canonical_label("Infiltration") == "infiltration"
    assert is_known_finding("effusion")
    assert not is_known_finding("infiltration")


# ---------------------------------------------------------------- the notation


@pytest.mark.parametrize(
    ("phrase", "forms"),
    [
        ("effusion(s)", {"effusion", "effusions"}),
        ("[hydro|haemo]thorax", {"hydrothorax", "haemothorax"}),
        ("air(-)space", {"airspace", "air-space", "air space"}),
        ("(pleural) fluid", {"fluid", "pleural fluid"}),
        ("a [b (c)|d]", {"a b", "a b c", "a d"}),
        ("x\\(y", {"x" + "\ue000" + "y"}),
    ],
)
def test_a_phrase_stands_for_its_forms(phrase: str, forms: set[str]) -> None:
    assert set(expand(phrase)) == forms


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("atelect*", "basal Atelectasis", "atelectasis"),
        (
            "no ~2 evidence of",
            "no clear radiological evidence of x",
            "no clear radiological evidence of",
        ),
        ("no ~2 evidence of", "no pneumothorax and evidence of x", ""),
        ("<size> mass", "a big mass", "big mass"),
        ("\\[x\\]", "[x] effusion", "[x]"),
        ("pleural effusion", "pleural\n effusion", "pleural\n effusion"),
        ("mass-like", "mass like", "mass like"),
        ("fracture", "fractures", ""),
    ],
)
def test_a_phrase_is_found(phrase: str, text: str, found: str) -> None:
    phrases: Phrases[str] = Phrases({"size": ["big", "small"]}, ["and"])
    phrases.add(phrase, "it")
    folded = text.lower()
    tokens = tokens_of(folded)
    hits = [
        folded[tokens[at].start : tokens[hit[0] - 1].end]
        for at in range(len(tokens))
        if (hit := phrases.longest(tokens, at, len(tokens)))
    ]
    assert hits == ([found] if found else [])


def test_the_longest_phrase_wins_and_one_phrase_may_name_two() -> None:
    phrases: Phrases[str] = Phrases()
    for phrase, value in (("mass", "mass"), ("mass effect", "none"), ("hydropneumothorax", "a"),
                          ("hydropneumothorax", "b")):  # fmt: skip
        phrases.add(phrase, value)
    tokens = tokens_of("mass effect hydropneumothorax")
    assert phrases.longest(tokens, 0, 3) == (2, ("none",))
    assert phrases.longest(tokens, 2, 3) == (3, ("a", "b"))


@pytest.mark.parametrize(
    "phrase",
    ["(a", "a)", "[a|b", "a|b", "<nowhere>", "~2 a", "ab*", "x" * 301, "()", "a ]",
     "[a|b|c]" * 9],
)  # fmt: skip
def test_a_broken_phrase_is_refused(phrase: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Phrases[str]().add(phrase, "it")


@settings(deadline=None)
@given(st.text(st.sampled_from("ab ()[]|*<>~2\\-"), max_size=40))
def test_any_phrase_is_taken_or_refused(phrase: str) -> None:
    phrases: Phrases[str] = Phrases({"a": ["a"]})
    try:
        phrases.add(phrase, "it")
    except ValueError as error:
        assert str(error)
        return
    tokens = tokens_of("a b " * 50)
    for at in range(len(tokens)):
        phrases.longest(tokens, at, len(tokens))


def test_no_phrase_of_a_site_makes_the_walk_long() -> None:
    phrases: Phrases[str] = Phrases()
    hostile = "a " + "(a) " * 60 + "~4 a ~4 a ~4 b"
    phrases.add(hostile, "it")
    tokens = tokens_of("a " * 2_000)
    steps = sum(phrases.longest(tokens, at, len(tokens)) is None for at in range(len(tokens)))
    assert steps == len(tokens)


# ---------------------------------------------------------------- a site's own


def test_a_site_adds_and_removes(site: Path) -> None:
    words = load_vocabulary(str(site))
    assert stated(read_note("Left pleural wetness, right zebra signs.", words)) == (
        "effusion present left",
        "our sign present right",
    )
    assert stated(read_note("Left effusion. Pulmonary fibrosis.", words)) == (
        "effusion present left",
    )
    assert stated(read_note("Nowhere a zebra sign.", words)) == ("our sign absent",)
    assert stated(read_note("Zebra sign of the knee.", words)) == ()
    assert stated(read_note("Zebra sign.")) == ()


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("version: 1\nname: x\nlanguage: en\nfindings: [{label: a b, nmaes: [x]}]",
         "findings.0.nmaes", "Extra"),
        ("version: 2\nname: x\nlanguage: en", "version", "1"),
        ("version: 1\nname: x\nlanguage: english", "language", "pattern"),
        ("version: 1\nname: x\nlanguage: en\nfindings: [{label: ab, names: [no]}]",
         "findings.0.names.0", "quote"),
        ("version: 1\nname: x\nlanguage: en\nfindings: [{label: ab, names: ['(x']}]",
         "findings", "never closed"),
        ("version: 1\nname: x\nlanguage: en\nextends: klingon", "extends", "use one of: de, en"),
        ("version: 1\nname: x\nlanguage: en\nextends: en\nremove: [unicorn]", "remove", "unicorn"),
        ("version: 1\nname: x\nlanguage: en\nincludes: [../secret.yaml]", "our.yaml", "includes"),
        ("a: [", "line", "YAML"),
        ("- 1", "the file", ""),
        ("x: &a [*a]", "", ""),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_one_line(
    tmp_path: Path, text: str, where: str, what: str
) -> None:
    path = tmp_path / "our.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_vocabulary(str(path))
    line = str(error.value)
    assert where in line
    assert what in line
    assert "\n" not in line


def test_a_file_that_is_not_there_is_one_line() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_vocabulary("nowhere.yaml")


# ---------------------------------------------------------------- the verb


def test_the_verb_checks_form_and_tests(
    tmp_path: Path, site: Path, medembed: Callable[..., tuple[int, str, str]]
) -> None:
    tests = tmp_path / "tests.yaml"
    tests.write_text(
        "version: 1\ntests:\n"
        "  - text: Left zebra sign.\n    expect: [our sign present left]\n"
        "  - text: No zebra sign.\n    expect: [our sign absent]\n"
    )
    code, out, _ = medembed("vocabulary", "check", site, "--tests", tests)
    assert (code, "2 of 2 tests passed" in out) == (0, True)
    tests.write_text(tests.read_text() + "  - text: Right effusion.\n    expect: []\n")
    code, out, _ = medembed("vocabulary", "check", site, "--tests", tests, "--json")
    assert code == 2
    failed = json.loads(out)["failed"]
    assert failed == [
        {"number": 3, "text": "Right effusion.", "expected": [], "got": ["effusion present right"]}
    ]
    code, out, _ = medembed("vocabulary", "check", site, "--tests", tests)
    assert (code, "test 3" in out) == (2, True)


def test_the_verb_names_what_is_wrong_in_one_line(
    tmp_path: Path, medembed: Callable[..., tuple[int, str, str]]
) -> None:
    broken = tmp_path / "x.yaml"
    broken.write_text("version: 1\nname: x\nlanguage: en\ntriggers: [{kind: maybe}]\n")
    code, out, err = medembed("vocabulary", "check", broken)
    assert (code, out) == (2, "")
    assert err.startswith("medembed: x.yaml: triggers.0.kind:")
    assert len(err.splitlines()) == 1
    assert medembed("vocabulary", "burn", broken)[0] == 2


# ---------------------------------------------------------------- a library's own


def reports(folder: Path, *texts: str) -> Path:
    rows = []
    for number, text in enumerate(texts, 1):
        write_dicom(folder / "d" / f"{number}.dcm", number)
        rows.append({"accession": f"ACC{number:05d}", "note": text})
    return write_csv(folder / "notes.csv", rows)


def test_a_library_keeps_its_vocabulary(
    tmp_path: Path, site: Path, medembed: Callable[..., tuple[int, str, str]]
) -> None:
    notes = reports(tmp_path, "Left zebra sign.")
    library = tmp_path / "lib"
    source = ("ingest", library, tmp_path / "d", "--notes", notes)
    code, _, err = medembed(*source, "--vocabulary", site)
    assert code == 0, err
    site.unlink()  # what the library keeps is all it needs
    assert medembed(*source)[0] == 0
    with CaseLibrary.open(library) as opened:
        assert library_vocabulary(opened).name == "our-hospital"
        assert [str(f) for f in next(iter(opened.cases())).findings] == ["our sign:left"]


def test_another_vocabulary_for_a_filled_library_is_refused(
    tmp_path: Path, site: Path, medembed: Callable[..., tuple[int, str, str]]
) -> None:
    notes = reports(tmp_path, "Left effusion.")
    source = ("ingest", tmp_path / "lib", tmp_path / "d", "--notes", notes)
    assert medembed(*source)[0] == 0
    code, _, err = medembed(*source, "--vocabulary", site)
    assert code == 2
    assert "medembed-en" in err
    assert medembed(*source, "--vocabulary", "en")[0] == 0


def test_n12_reports_in_another_language_are_counted_in_one_remark(
    tmp_path: Path, medembed: Callable[..., tuple[int, str, str]]
) -> None:
    notes = reports(
        tmp_path, "No effusion.", "Pas de pneumothorax ni de fracture.", "Kein Pneumothorax."
    )
    code, out, _ = medembed("ingest", tmp_path / "lib", tmp_path / "d", "--notes", notes, "--json")
    assert code == 0
    remarks = [r for r in json.loads(out)["remarks"] if "English" in r]
    assert remarks == [
        "2 reports are not in English (de 1, fr 1); their findings were not extracted; "
        "for German reports use a library with --vocabulary de"
    ]


def test_a_library_of_german_reports(
    tmp_path: Path, medembed: Callable[..., tuple[int, str, str]]
) -> None:
    notes = reports(tmp_path, "Kein Pneumothorax. Kleiner Pleuraerguss links.")
    code, out, _ = medembed(
        "ingest", tmp_path / "lib", tmp_path / "d", "--notes", notes, "--vocabulary", "de", "--json"
    )
    assert (code, json.loads(out)["remarks"]) == (0, [])
    with CaseLibrary.open(tmp_path / "lib") as opened:
        assert [str(f) for f in next(iter(opened.cases())).findings] == ["effusion:left"]


# ---------------------------------------------------------------- what it does not know


@pytest.mark.parametrize(
    ("query", "unknown"),
    [
        ("pneumonia", ("pneumonia",)),
        ("left effusion with eggshell sign", ("eggshell",)),
        ("small left pleural effusion, no pneumothorax", ()),
        ("show cases of women with cardiomegaly", ()),
        ("Kein Pneumothorax", ()),
        ("", ()),
    ],
)
def test_what_the_vocabulary_does_not_know_is_named(query: str, unknown: tuple[str, ...]) -> None:
    assert unknown_findings(query) == unknown


def test_a_long_report_is_asked_for_names_of_diseases_only() -> None:
    text = "The patient is seen today with marked improvement of the general condition. " * 3
    assert unknown_findings(text) == ()
    assert unknown_findings(text + "Xyloplastitis.") == ("xyloplastitis",)


def test_former_labels_are_read_as_todays(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "version: 1\nname: ward\nlanguage: en\nextends: en\nremove: [gynaecomastia]\n"
        "findings:\n  - label: oedema\n    names: [wet lung]\n",
        encoding="utf-8",
    )
    vocabulary = load_vocabulary(str(own))
    stored = vocabulary_of(
        VocabularyDocument(vocabulary.document.content.replace("edema", "oedema"))
    )
    for read in (vocabulary, stored):
        assert not {"oedema", "gynaecomastia", "gynecomastia"} & set(read.findings)
        note = read_note("FINDINGS: Wet lung. Pulmonary oedema. Lung edema.", read)
        assert [a.label for a in note.assertions] == ["edema"] * 3
    assert stored.digest == vocabulary.digest


def test_former_labels_are_aliases_of_labels_in_the_vocabulary() -> None:
    labels = set(load_vocabulary("en").findings)
    assert set(FORMER_LABELS.values()) <= labels
    assert not set(FORMER_LABELS) & labels
    assert {former: canonical_label(former) for former in FORMER_LABELS} == FORMER_LABELS


def test_former_labels_in_a_file_of_tests_are_read_as_todays(tmp_path: Path) -> None:
    file = tmp_path / "tests.yaml"
    file.write_text(
        "version: 1\ntests:\n  - {text: Pulmonary oedema., expect: [oedema present]}\n", "utf-8"
    )
    tests = read_tests(file)
    assert tests[0].expect == ("edema present",)
    assert list(failures(load_vocabulary("en"), tests)) == []
