"""A library of DICOM files and a plain image, read by two readers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image
from support.reviewed import Clock, read_case

from apps.review.document import ReviewDocument, gather
from apps.review.pictures import pictures_of
from medembed.cases import ScanRef
from medembed.library import CaseLibrary
from medembed.reviews import Impression, Mark, ReviewCase, ReviewQuery, ReviewStore
from medembed.scans import ScanReader
from medembed.scans.scan_hash import scan_sha256
from tests.apps.conftest import make_case, write_ct, write_radiograph


@dataclass
class Reviewed:
    """An open library with a session, and a reader of its scans."""

    library: CaseLibrary
    link: str
    reader: ScanReader

    def document(self, **options: bool) -> ReviewDocument:
        return gather(self.library, self.link, **options)

    def picture(self, case: object) -> object:
        return pictures_of(self.library, self.reader)(case)  # type: ignore[arg-type]


@pytest.fixture
def reviewed(tmp_path: Path) -> Iterator[Reviewed]:
    """Radiograph, CT, and a PNG, which has no DICOM identifiers."""
    folder = tmp_path / "files"
    folder.mkdir()
    plain = folder / "plain.png"
    Image.linear_gradient("L").save(plain)
    cases = [
        make_case(0, [write_radiograph(folder / "0.dcm", 0, "PLANTED-ID")]),
        make_case(2, write_ct(folder, 2)),
    ]
    sha256 = scan_sha256([hashlib.sha256(plain.read_bytes()).hexdigest()])
    cases.append(
        replace(
            make_case(4, [plain]), scans=(ScanRef((str(plain),), sha256, "CR", "PA"),), note=None
        )
    )
    with CaseLibrary.create(tmp_path / "library") as library, ScanReader(workers=1) as reader:
        library.add(cases)
        yield Reviewed(library, read_by_two(library), reader)


def read_by_two(library: CaseLibrary) -> str:
    """Make a session that Anna has finished; Ben has revealed one case and begun another."""
    clock = Clock()
    store = ReviewStore(library, clock)
    query = ReviewQuery(("text",), ("effusion:right",), rank=1, score=0.9)
    first, second, third = library.find()
    link = store.create(
        "Tumor board", "Anna", [ReviewCase(first, query), ReviewCase(second), ReviewCase(third)]
    ).link
    read_case(
        store, clock, link, first, "Anna",
        Impression("Right effusion.\nHeart normal.", ("effusion:right", "support device")),
        Impression("Left effusion.", ("effusion:left",)), seconds=(45, 30),
    )  # fmt: skip
    for case_id in (second, third):
        read_case(store, clock, link, case_id, "Anna", Impression("", ("no finding",)))
        store.mark(link, case_id, "Anna", Mark.SHORTLIST)
    store.mark(link, first, "Anna", Mark.TEACHING)
    store.open_case(link, first, "Ben Ärzte")
    store.write_impression(link, first, "Ben Ärzte", Impression("Normal", ("no finding",)))
    store.reveal(link, first, "Ben Ärzte")
    store.open_case(link, second, "Ben Ärzte")
    store.write_impression(link, second, "Ben Ärzte", Impression("still blind words"))
    return link
