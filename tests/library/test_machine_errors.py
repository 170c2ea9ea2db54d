"""A machine that fails: one line, exit 2, a usable library after it, no acknowledged case lost."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import pytest
from support.example_cases import make_case

from medembed.errors import LibraryBusyError, LibraryError
from medembed.library import CaseLibrary

TESTS = Path(__file__).parents[1]
ADD = """
import sys
sys.path.insert(0, sys.argv[2])
from support.example_cases import make_case
from medembed.cli.command import run_guarded
from medembed.library import CaseLibrary
{before}
def act():
    library = CaseLibrary.open(sys.argv[1], create=True)
    def acknowledge(done, total):
        sys.stdout.write(f"{{done}}\\n")
        sys.stdout.flush()
    library.add((make_case(i) for i in range(20000)), batch=16, progress=acknowledge)
run_guarded(act)
"""


def add_cases(folder: Path, before: str = "") -> tuple[int, str, int]:
    """Add cases until it fails; give the exit code, stderr and how many were acknowledged."""
    done = subprocess.run(
        [sys.executable, "-c", ADD.format(before=before), str(folder), str(TESTS)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr, int((done.stdout.split() or ["0"])[-1])


def one_line(stderr: str) -> str:
    assert len(stderr.strip().splitlines()) == 1, stderr
    assert stderr.startswith("medembed: ")
    assert "Traceback" not in stderr
    return stderr


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """Mount a file system of a given size; skips where that is not allowed."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("this machine does not let a test mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_full_database_is_said_and_the_connection_stays_of_use(tmp_path: Path) -> None:
    library = CaseLibrary.create(tmp_path / "lib")
    library.add([make_case(0)])
    db = library.database.read()
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(LibraryError, match="the disk is full") as caught:
        library.add(make_case(i) for i in range(1, 2000))
    assert caught.value.exit_code == 2
    assert not db.in_transaction
    kept = len(library)
    db.execute(f"PRAGMA max_page_count = {pages + 10000}")
    assert library.add([make_case(3000)]).added == 1
    assert len(library) == kept + 1 == len(list(library.cases()))


def test_a_commit_that_fails_leaves_nothing_and_the_next_write_works(tmp_path: Path) -> None:
    library = CaseLibrary.create(tmp_path / "lib")
    with (
        pytest.raises(LibraryError, match="were rolled back"),
        library.database.write() as db,
    ):
        db.execute("PRAGMA defer_foreign_keys = ON")
        db.execute("INSERT INTO findings VALUES (999, 'effusion', '')")
    assert not library.database.read().in_transaction
    library.set_meta("a", "b")
    assert library.get_meta("a") == "b"


def test_a_library_locked_by_another_process_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medembed.library.database._BUSY_SECONDS", 0.1)
    CaseLibrary.create(tmp_path / "lib").close()
    library = CaseLibrary.open(tmp_path / "lib")
    other = sqlite3.connect(tmp_path / "lib" / "library.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LibraryBusyError, match="locked by another process"):
        library.add([make_case(0)])
    assert len(library) == 0  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    assert library.add([make_case(0)]).added == 1


@pytest.mark.parametrize("after", [0, 7])
def test_a_disk_that_fills_up_loses_no_acknowledged_case(tmp_path: Path, after: int) -> None:
    limit = (900 + 200 * after) << 10
    before = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    code, stderr, acknowledged = add_cases(tmp_path / "lib", before)
    assert code == 2
    one_line(stderr)
    if (tmp_path / "lib" / "library.sqlite").exists():
        with CaseLibrary.open(tmp_path / "lib") as library:
            assert len(list(library.cases())) >= acknowledged
            library.add([make_case(10**6)])
    else:
        assert acknowledged == 0


def test_a_file_system_without_room_loses_no_acknowledged_case(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4096) as disk:
        code, stderr, acknowledged = add_cases(disk / "lib")
        assert code == 2
        assert "the disk is full" in one_line(stderr)
        assert acknowledged > 0
        remount(disk, "size=64m")
        with CaseLibrary.open(disk / "lib") as library:
            assert len(list(library.cases())) >= acknowledged
            library.add([make_case(10**6)])


def made_on(disk: Path) -> bool:
    """Try to make a library, give room, and say whether there is one: whole, or not at all."""
    try:
        CaseLibrary.create(disk / "lib").close()
    except LibraryError as error:
        assert "\n" not in str(error)
    left = sorted(path.name for path in disk.rglob("*") if path.is_file())
    remount(disk, "size=64m")
    if not (disk / "lib" / "library.sqlite").exists():
        assert left == []
        return False
    with CaseLibrary.open(disk / "lib") as library:
        assert library.add([make_case(0)]).added == 1
        assert library.case("case-0").case_id == "case-0"
    return True


@pytest.mark.parametrize("kib", [300, 620, 700, 740, 1400])
def test_a_library_made_on_a_nearly_full_disk_is_whole_or_not_there(
    tmp_path: Path, kib: int
) -> None:
    with small_disk(tmp_path / "disk", kib) as disk:
        assert made_on(disk) or kib < 1400


@pytest.mark.slow
def test_at_no_size_of_the_disk_half_a_library_is_made(tmp_path: Path) -> None:
    outcomes = []
    for kib in range(400, 1500, 16):
        with small_disk(tmp_path / f"disk{kib}", kib) as disk:
            outcomes.append(made_on(disk))
    assert not outcomes[0]
    assert outcomes[-1]


def test_a_read_only_file_system_serves_searches_and_refuses_writing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 65536) as disk:
        with CaseLibrary.create(disk / "lib") as library:
            library.add(make_case(i) for i in range(5))
            library.put_vectors("f", "image", library.find(), [[1.0, 2.0]] * 5)
        remount(disk, "ro")
        with CaseLibrary.open(disk / "lib") as library:
            assert library.database.read_only
            assert len(list(library.cases())) == 5
            assert len(library.vectors("f", "image")[0]) == 5
            for write in (
                lambda: library.add([make_case(9)]),
                lambda: library.set_meta("a", "b"),
                lambda: library.drop_vectors("f"),
            ):
                with pytest.raises(LibraryError, match="read-only"):
                    write()
        with pytest.raises(LibraryError, match="read-only"):
            CaseLibrary.create(disk / "other")


def test_a_library_that_another_user_may_only_read_opens(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can be another user")
    for folder in takewhile(
        lambda f: f != Path(tempfile.gettempdir()), (tmp_path, *tmp_path.parents)
    ):
        folder.chmod(folder.stat().st_mode | 0o055)
    with CaseLibrary.create(tmp_path / "lib") as library:
        library.add(make_case(i) for i in range(5))
    (tmp_path / "lib").chmod(0o755)
    (tmp_path / "lib" / "library.sqlite").chmod(0o644)
    os.seteuid(65534)
    try:
        with CaseLibrary.open(tmp_path / "lib") as library:
            assert len(list(library.cases())) == 5
            with pytest.raises(LibraryError, match="read-only"):
                library.add([make_case(9)])
    finally:
        os.seteuid(0)
    assert sorted(p.name for p in (tmp_path / "lib").iterdir()) == ["library.sqlite"]


def test_a_read_only_reader_sees_what_a_writer_beside_it_adds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CaseLibrary.create(tmp_path / "lib").close()
    with monkeypatch.context() as patch:
        patch.setattr("medembed.library.database._is_writable", lambda path: False)
        reader = CaseLibrary.open(tmp_path / "lib")
    assert len(reader) == 0
    with CaseLibrary.open(tmp_path / "lib") as writer:
        writer.add([make_case(0)])
        with CaseLibrary.open(tmp_path / "lib") as second:
            second.database.read_only = True
            assert len(second) == 1
    assert len(reader) == 1  # the writer has closed, its log is in the file


def test_a_library_that_goes_away_while_open_takes_no_more_cases(tmp_path: Path) -> None:
    library = CaseLibrary.create(tmp_path / "lib")
    library.add([make_case(0)])
    (tmp_path / "lib").rename(tmp_path / "moved")
    with pytest.raises(LibraryError, match="moved, removed or unmounted"):
        library.add([make_case(1)])
    CaseLibrary.create(tmp_path / "lib").close()
    with pytest.raises(LibraryError, match="replaced"):
        library.add([make_case(1)])
    with CaseLibrary.open(tmp_path / "moved") as moved:
        assert moved.find() == ["case-0"]


def test_a_file_system_that_goes_away_is_one_line(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 65536) as disk:
        library = CaseLibrary.create(disk / "lib")
        library.add([make_case(0)])
        subprocess.run(["umount", "-l", str(disk)], check=True)
        with pytest.raises(LibraryError, match="moved, removed or unmounted"):
            library.add([make_case(1)])
        with pytest.raises(LibraryError, match="moved, removed or unmounted"):
            len(library)


def test_too_many_open_files_are_said(tmp_path: Path) -> None:
    CaseLibrary.create(tmp_path / "lib").close()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open(os.devnull, os.O_RDONLY)
    os.close(spare)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 1, limits[1]))
        with pytest.raises(LibraryError, match="too many open files"):
            CaseLibrary.open(tmp_path / "lib")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    CaseLibrary.open(tmp_path / "lib").close()


def test_the_command_line_says_errors_of_the_machine_without_names(tmp_path: Path) -> None:
    code = (
        "import errno\n"
        "from medembed.cli.command import run_guarded\n"
        "def act(): raise {error}\n"
        "run_guarded(act)\n"
    )
    for error, words in (
        ("OSError(errno.ENOSPC, 'x', '/data/DOE^JANE.dcm')", "the disk is full"),
        (
            "PermissionError(errno.EACCES, 'x', '/models/small/model.json')",
            "model.json: permission denied",
        ),
        ("MemoryError()", "out of memory"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code.format(error=error)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert words in one_line(done.stderr)
        assert "DOE" not in done.stderr


@contextmanager
def read_only_view(folder: Path, at: Path) -> Iterator[Path]:
    """The same files where they cannot be written, as another machine may mount them."""
    at.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "--bind", str(folder), str(at)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("this machine does not let a test mount a file system")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(at)], check=True)
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=False, capture_output=True)


def killed_writer(folder: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2])\n"
        "from support.example_cases import make_case\n"
        "from medembed.library import CaseLibrary\n"
        "library = CaseLibrary.open(sys.argv[1])\n"
        "library.add([make_case(77)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder), str(TESTS)], check=False)


def test_a_read_only_mount_follows_its_writer_and_says_what_it_cannot_read(
    tmp_path: Path,
) -> None:
    home = tmp_path / "lib"
    writer = CaseLibrary.create(home)
    writer.add([make_case(0)])
    with read_only_view(home, tmp_path / "view") as view:
        with CaseLibrary.open(view) as reader:
            assert reader.find() == ["case-0"]
            writer.add([make_case(1)])
            assert reader.find() == ["case-0", "case-1"]
            writer.close()
            assert reader.find() == ["case-0", "case-1"]
            with CaseLibrary.open(home) as again:
                again.add([make_case(2)])
                assert len(list(reader.cases())) == 3
        killed_writer(home)
        with CaseLibrary.open(view) as reader:
            assert len(list(reader.cases())) == 4  # what was acknowledged is there
        (home / "library.sqlite-shm").unlink()
        with pytest.raises(
            LibraryError, match=r"was interrupted.*open it once with write permission"
        ):
            CaseLibrary.open(view)
    assert len(CaseLibrary.open(home)) == 4


def test_an_older_library_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    CaseLibrary.create(tmp_path / "lib").close()
    db = sqlite3.connect(tmp_path / "lib" / "library.sqlite")
    db.execute("PRAGMA user_version = 1")
    db.close()
    with (
        read_only_view(tmp_path / "lib", tmp_path / "view") as view,
        pytest.raises(LibraryError, match=r"older MedEmbed.*open it once with write permission"),
    ):
        CaseLibrary.open(view)
