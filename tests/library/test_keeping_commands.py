"""The commands erase, backup, restore and export: what they say, ask and exit with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.example_cases import make_case
from typer.testing import CliRunner, Result

from medembed.cli import build
from medembed.library import CaseLibrary
from medembed.library.identities import LibraryIdentities
from medembed.notes import Note
from medembed.privacy import Claim

ID, SHARED = "4711-Mustermann", "0815-Shared"


def run(*words: str | Path, stdin: str = "") -> Result:
    return CliRunner().invoke(build(str(words[0])), [str(word) for word in words], input=stdin)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four patients of one case; two share a PatientID."""
    with CaseLibrary.create(tmp_path / "lib") as library:
        names = library.pseudonymizer
        claims = [
            ("a", Claim.of(names, ID, sex="F", own="a")),
            ("b", Claim.of(names, SHARED, sex="F", own="b")),
            ("c", Claim.of(names, SHARED, sex="M", own="c")),
        ]
        resolver = LibraryIdentities(library.database, names)
        patients = []
        for claim in claims:  # one after the other, as two ingests would
            (found,) = resolver.resolve([claim])
            patients.append(found.patient_id)
            sex = "M" if claim[0] == "c" else "F"
            library.add(
                [
                    make_case(
                        len(patients),
                        case_id=f"C-000{claim[0]}",
                        patient_id=found.patient_id,
                        sex=sex,
                        note=Note("FINDINGS: effusion."),
                    )
                ]
            )
        assert len(set(patients)) == 3
        library.add([make_case(10)])
    return tmp_path / "lib"


def cases(folder: Path) -> list[str]:
    with CaseLibrary.open(folder) as library:
        return library.find()


def test_a_patient_is_erased_by_the_id_of_a_file_or_of_stdin(folder: Path, tmp_path: Path) -> None:
    done = run("erase", folder, "--patient-id-file", "-", "--json", stdin=f" {ID}\n")
    assert done.exit_code == 0, done.stderr
    receipt = json.loads(done.stdout)
    assert receipt["finished"] is True
    assert receipt["counts"]["cases"] == 1
    assert ID not in done.stdout + done.stderr
    assert "C-000a" not in cases(folder)
    (tmp_path / "id").write_text(ID)
    again = run("erase", folder, "--patient-id-file", tmp_path / "id")
    assert again.exit_code == 2
    assert "no patient of this library has this id; the last erasure was on 20" in again.stderr
    assert ID not in again.stderr


def test_of_several_patients_of_one_id_none_goes_until_one_is_named(folder: Path) -> None:
    refused = run("erase", folder, "--patient-id-file", "-", stdin=SHARED)
    assert refused.exit_code == 2
    assert "2 patients share this PatientID: P-" in refused.stderr
    assert len(cases(folder)) == 4
    with CaseLibrary.open(folder) as library:
        patient = library.case("C-000c").patient_id
    one = run("erase", folder, "--patient", patient)
    assert one.exit_code == 0, one.stderr
    assert "none left" in one.stdout
    assert cases(folder) == ["C-000a", "C-000b", "case-10"]
    both = run("erase", folder, "--patient-id-file", "-", "--everyone-with-this-id", stdin=SHARED)
    assert both.exit_code == 0, both.stderr
    assert cases(folder) == ["C-000a", "case-10"]


def test_no_id_and_a_wrong_one_are_one_line(folder: Path) -> None:
    for words in ([], ["--patient", "P-NOBODY"], ["--patient", "a", "--patient-id-file", "-"]):
        done = run("erase", folder, *words)
        assert done.exit_code == 2
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr
    assert len(cases(folder)) == 4


def test_the_receipt_says_how_many_originals_are_left(folder: Path, tmp_path: Path) -> None:
    scan = tmp_path / "one.dcm"
    scan.write_bytes(b"pixels")
    with CaseLibrary.open(folder) as library:
        case = make_case(30)
        library.add([replace(case, scans=(replace(case.scans[0], files=(str(scan),)),))])
    done = run("erase", folder, "--patient", "P-15")
    assert done.exit_code == 0
    assert "1 file of the patient's scans outside the library is not touched" in done.stderr
    assert scan.exists()
    assert "one.dcm" not in done.stdout + done.stderr


def test_backup_and_restore_say_what_they_hold(folder: Path, tmp_path: Path) -> None:
    done = run("backup", folder, tmp_path / "lib.zip")
    assert done.exit_code == 0, done.stderr
    assert "lib.zip: 4 cases, 0 models, 1 file" in done.stdout
    back = run("restore", tmp_path / "lib.zip", tmp_path / "again", "--json")
    assert back.exit_code == 0, back.stderr
    assert json.loads(back.stdout)["n_cases"] == 4
    assert cases(tmp_path / "again") == cases(folder)
    refused = run("restore", tmp_path / "lib.zip", folder)
    assert refused.exit_code == 2
    assert "never overwritten" in refused.stderr
    missing = run("restore", tmp_path / "none.zip", tmp_path / "other")
    assert missing.exit_code == 2
    assert str(tmp_path) not in missing.stderr


def test_an_export_of_scans_that_are_gone_is_one_line(folder: Path, tmp_path: Path) -> None:
    done = run("export", folder, tmp_path / "out", "--where", "sex=F")
    assert done.exit_code == 2
    assert "none of the scans can be exported: 2 not-found" in done.stderr
    assert not (tmp_path / "out").exists()
