"""An erasure names the models that saw the patient, and clears what training had kept."""

from __future__ import annotations

import json
from pathlib import Path

from support.small_pairs import small_config, write_library

from medembed.index import open_index
from medembed.library import CaseLibrary
from medembed.library.byte_search import search_apart
from medembed.library.erasure import ModelUse
from medembed.library.traces import still_stored, traces_of
from medembed.library.verification import CheckState, verify_files, verify_store
from medembed.lookup import CaseLookup
from medembed.model import DualEncoder, embed_library
from medembed.training import train


def test_the_receipt_names_the_model_and_no_file_has_the_patient(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=24, patients=None)
    report = train(library, small_config(epochs=2))
    kept = json.loads((Path(report.folder) / "training.json").read_bytes())["library"]
    assert kept == {"library_id": library.library_id, "last_case": 24, "erasures": 0}
    embed_library(library, DualEncoder.load(report.folder), workers=1)
    open_index(library, report.fingerprint)
    assert library.path.joinpath("cache").is_dir()
    before = {model: case for case, model in library.patients().items()}
    gone = {split: library.case(library.split(split)[0]).patient_id for split in ("train", "val")}
    used = {"train": ModelUse.TRAINED, "val": ModelUse.SELECTED}
    for split, patient in gone.items():
        db = library.database.read()
        found = traces_of(db, [patient], library.pseudonymizer, library.path)
        receipt = library.erase(patient)
        assert receipt.is_finished
        assert [(m.name, m.use) for m in receipt.models] == [("small", used[split])]
        assert receipt.models[0].fingerprint == report.fingerprint
        left = {t for those in search_apart(library.path, list(found))[0].values() for t in those}
        met = {trace: found[trace] for trace in left}
        assert left <= still_stored(db, met, library.pseudonymizer, library.path)
        with CaseLookup(library) as lookup:
            hits = lookup.search(text="left pleural effusion", k=24).hits
        assert before[patient] not in {hit.case_id for hit in hits}
        assert len(library) == 24 - 1 - list(gone).index(split)
    test_patient = library.case(library.split("test")[0]).patient_id
    assert library.erase(test_patient).models == ()
    # other cases, another training: the earlier result is not taken for it
    again = train(library, small_config(epochs=2))
    assert not again.unchanged
    path = library.path
    library.close()
    with CaseLibrary.open(path) as opened:
        checks = [*verify_store(opened), *verify_files(opened)]
    assert {check.state for check in checks} == {CheckState.OK}
