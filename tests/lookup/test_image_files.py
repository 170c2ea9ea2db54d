"""Search by a file: read in a worker, encoded by the toy model, and never answered by its owner."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian
from support.example_cases import make_case

from medembed.cases import ScanRef
from medembed.cli import run
from medembed.errors import QueryError, ScanError
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.model import DualEncoder, toy_model
from medembed.scans import read_scan

NAMES = ["upper-left", "upper-right", "lower-left", "lower-right", "again"]


def picture(path: Path, bright: int) -> Path:
    """A PNG of 32 × 32 whose quadrant ``bright`` (0 to 3) is brightest."""
    pixels = np.full((32, 32), 20, dtype=np.uint8)
    row, column = divmod(bright, 2)
    pixels[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] = 250
    Image.fromarray(pixels).save(path)
    return path


def radiograph(path: Path, bright: int, patient: str, study: str) -> Path:
    """The same as DICOM, of a named patient."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = f"{study}.1.1"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, f"{study}.1.1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.1"
    ds.PatientID, ds.PatientName, ds.Modality = patient, "Doe^Jane", "CR"
    pixels = np.full((32, 32), 100, dtype=np.uint16)
    row, column = divmod(bright, 2)
    pixels[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] = 3000
    ds.Rows = ds.Columns = 32
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels.tobytes()
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of five cases, one of a DICOM patient, with the toy model active."""
    home = tmp_path_factory.mktemp("lookup")
    with CaseLibrary.create(home / "library") as library:
        names = library.pseudonymizer
        paths = [picture(home / f"{i}.png", i) for i in range(4)]
        paths.append(radiograph(home / "again.dcm", 1, "4711", "1.2.3"))
        for i, (name, path) in enumerate(zip(NAMES, paths, strict=True)):
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            own = (
                {"case_id": names.study("1.2.3"), "patient_id": names.patient("4711")}
                if name == "again"
                else {"case_id": name, "patient_id": f"P-{name}"}
            )
            library.add([make_case(i, scans=(ScanRef((str(path),), sha256),), **own)])
        model = toy_model()
        model.save(library.path / "models/toy")
        library.active_model = "toy"
        ids = library.find()
        vectors = model.encode_scans([read_scan(path) for path in paths])
        library.put_vectors(model.fingerprint, "image", ids, vectors)
    return home


@pytest.fixture(scope="module")
def lookup(home: Path) -> Iterator[CaseLookup]:
    with CaseLibrary.open(home / "library") as library, CaseLookup(library) as opened:
        yield opened


def ids(result) -> list[str]:
    return [hit.case_id for hit in result.hits]


def test_a_file_finds_the_picture_that_is_bright_where_it_is(lookup, home, tmp_path) -> None:
    study = lookup.library.pseudonymizer.study("1.2.3")
    result = lookup.search(image=radiograph(tmp_path / "x.dcm", 1, "8", "9.9"))
    assert set(ids(result)[:2]) == {"upper-right", study}
    assert result.hits[0].score > 0.99 > result.hits[2].score
    assert len(result.hits) == 5
    found = lookup.search(image=[radiograph(tmp_path / "y.dcm", 2, "8", "9.9")], k=1)
    assert ids(found) == ["lower-left"]


def test_the_very_file_of_a_case_does_not_find_its_patient(lookup, home, tmp_path) -> None:
    copy = tmp_path / "renamed.bin.png"
    copy.write_bytes((home / "1.png").read_bytes())
    result = lookup.search(image=copy)
    assert "upper-right" not in ids(result)
    assert "excluded 1 case of the query's own patient" in map(str, result.plan.notes)
    other = tmp_path / "other.png"
    Image.open(home / "1.png").save(other, compress_level=1)
    assert other.read_bytes() != copy.read_bytes()
    assert "upper-right" in ids(lookup.search(image=other)), "a re-encoded PNG has no owner"


@pytest.mark.parametrize(("patient", "study"), [("4711", "7.7"), ("other", "1.2.3")])
def test_another_file_of_a_patient_of_the_library_does_not_find_that_patient(
    lookup, tmp_path, patient, study
) -> None:
    own = lookup.library.pseudonymizer.study("1.2.3")
    result = lookup.search(image=radiograph(tmp_path / "new.dcm", 3, patient, study))
    assert own not in ids(result)
    assert len(result.hits) == 4
    said = json.dumps(result.to_json()) + str(result)
    assert "4711" not in said
    assert "Doe" not in said


def test_text_with_an_image_and_text_alone_are_encoded_too(lookup, home) -> None:
    gallery = lookup.index.index
    # The toy model counts words by their number of letters modulo 4.
    for text, component in (("a", 1), ("of", 2), ("see", 3)):
        cosines = dict(zip(gallery.case_ids, gallery.vectors[:, component], strict=True))
        best = sorted(cosines, key=lambda name: (-cosines[name], name))
        assert ids(lookup.search(text=text, k=5)) == best
    mixed = lookup.search(text="a", image=home / "2.png", weights={"text": 0.95, "image": 0.05})
    assert set(mixed.hits[0].evidence.parts) == {"text", "image"}


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_that_is_no_scan_is_refused_in_one_line(lookup, tmp_path, content) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(ScanError) as caught:
        lookup.search(image=path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_files_is_refused(lookup, tmp_path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises((ScanError, QueryError)):
        lookup.search(image=tmp_path / "none")


def test_several_threads_may_ask_at_once(lookup, home) -> None:
    from concurrent.futures import ThreadPoolExecutor

    asks = [{"image": home / f"{i % 4}.png"} for i in range(8)] + [{"case": "upper-left"}] * 8
    alone = [ids(lookup.search(**ask)) for ask in asks]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda ask: ids(lookup.search(**ask)), asks)) == alone


def test_the_model_is_the_one_that_the_vectors_are_of(lookup) -> None:
    assert isinstance(lookup.model, DualEncoder)
    assert lookup.model.fingerprint == lookup.fingerprint


def medembed(*words: object) -> subprocess.CompletedProcess[str]:
    code = "from medembed.cli import run; run()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_verb_prints_one_json_object(home) -> None:
    done = medembed("search", home / "library", "--case", "upper-left", "-k", 2, "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert [hit["rank"] for hit in data["hits"]] == [1, 2]
    assert data["query"]["case"] == "upper-left"


def test_the_verb_shows_a_table_of_at_most_100_columns(home) -> None:
    done = medembed("search", home / "library", "--text", "a bright field", "--where", "sex=F")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "matching cases (exact)" in done.stdout
    assert "novel" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--text", " "],
        ["--text", "mass", "-k", "0"],
        ["--text", "mass", "--weights", "text"],
        ["--text", "mass", "--weights", "text=1,text=2"],
        ["--text", "mass", "--model", "nobody"],
        ["--image", "nowhere.dcm"],
        ["--case", "nobody"],
        ["--text", "mass", "--where", "colour=red"],
        [],
    ],
)
def test_a_mistake_is_one_line_and_exit_2(home, words, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["medembed", "search", str(home / "library"), *words])
    with pytest.raises(SystemExit) as left:
        run()
    said = capsys.readouterr()
    assert left.value.code == 2, said.err
    assert said.out == ""
    assert len(said.err.splitlines()) == 1


def test_the_verb_index_builds_and_then_says_that_nothing_was_to_do(home) -> None:
    made = medembed("index", home / "library", "--kind", "hnsw", "--json")
    assert made.returncode == 0, made.stderr
    data = json.loads(made.stdout)
    assert (data["kind"], data["cases"]) == ("hnsw", 5)
    again = medembed("index", home / "library")
    assert "up to date: 5 cases (hnsw, 4 dimensions)" in again.stdout
    assert "approximate search, HNSW: as asked; recall@10 1.000" in again.stdout


def test_the_verb_index_says_what_its_budget_led_to(home, monkeypatch, capsys) -> None:
    def index(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["medembed", "index", str(home / "library"), *words])
        with pytest.raises(SystemExit) as left:
            run()
        return int(left.value.code or 0)

    assert index("--kind", "hnsw", "--min-recall", ".9", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["kind"], data["choice"]["reason"]) == ("exact", "recall too low")
    assert data["choice"]["budget"]["min_recall"] == 0.9
    assert index("--min-recall", "99") == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)


def test_a_report_cannot_steer_the_terminal() -> None:
    from medembed.cli.search import _plain
    from medembed.lookup.result_table import impression
    from medembed.notes import Note, Section

    text = "IMPRESSION: \x1b[2Jgone\u202e txt\nmore"
    case = make_case(0, note=Note(text, (Section("impression", 11, len(text)),)))
    assert impression(case) == "\x1b[2Jgone\u202e txt"
    assert _plain(impression(case)) == " [2Jgone  txt"


def test_a_file_that_cannot_be_read_is_not_named(home, tmp_path: Path) -> None:
    broken = tmp_path / "DOE_JANE.dcm"
    broken.write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 40)
    for more in ([], ["--image", str(broken)]):
        done = medembed("search", home / "library", "--image", broken, *more)
        assert done.returncode == 2
        assert done.stderr.startswith("medembed: image: ")
        assert "DOE" not in done.stdout + done.stderr
