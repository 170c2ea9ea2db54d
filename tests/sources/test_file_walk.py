"""The files of a folder, without those that must not be opened."""

from __future__ import annotations

from pathlib import Path

from medembed.library import CaseLibrary
from medembed.sources.file_walk import walk_files


def test_the_database_of_a_library_inside_the_folder_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "scan.dcm").write_bytes(b"a")
    with CaseLibrary.create(tmp_path / "library") as library:
        (library.path / "scan.dcm").write_bytes(b"b")
        library.database.read().execute("SELECT count(*) FROM cases").fetchone()
        found = {path.relative_to(tmp_path).as_posix() for path in walk_files(tmp_path)}
    assert {"scan.dcm", "library/scan.dcm"} <= found
    assert not {name for name in found if "library.sqlite" in name}
    assert (library.path / "library.sqlite").exists()
