"""Random changes to a journal behind its back: edits, deletions, insertions, moves, cuts."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from medembed.errors import LibraryError
from medembed.journal import LOCAL, Action, Journal, JournalCheck, Outcome
from medembed.privacy import Pseudonymizer

__all__ = ["NAMES", "make_journal", "tamper_trials", "write_entries"]

NAMES = Pseudonymizer(bytes(range(32)))
_FILES = ("journal.sqlite", "journal.head")
_OTHERS = [action for action in Action if action is not Action.STARTED]


def write_entries(journal: Journal, n: int, seed: int = 0) -> None:
    """Append entries of many kinds."""
    rng = random.Random(seed)
    for i in range(n):
        action = rng.choice([Action.QUERY, Action.SHOWN, Action.OPENED, Action.EXPORT])
        cases = [f"case-{rng.randrange(20)}" for _ in range(rng.randrange(4))]
        details = {"k": rng.randrange(50), "kind": rng.choice(["text", "image"]), "at": i / 7}
        journal.record(action, actor=f"user{i % 3}", cases=cases, details=details)


def make_journal(folder: Path, n: int) -> str:
    """Write a journal of some entries and close it; return its name."""
    folder.mkdir(parents=True, exist_ok=True)
    with Journal(folder, NAMES) as journal:
        write_entries(journal, n)
        name = journal.begin()
    assert sorted(path.name for path in folder.iterdir()) == sorted(_FILES)
    return name


class _Tampering:
    """One copy of a journal, and ways to change it."""

    def __init__(self, folder: Path, older: Path, rng: random.Random) -> None:
        self.folder, self.older, self.rng = folder, older, rng
        self.db = sqlite3.connect(folder / "journal.sqlite", isolation_level=None)
        self.numbers = [n for (n,) in self.db.execute("SELECT number FROM entries ORDER BY 1")]

    def pick(self) -> int:
        return self.rng.choice(self.numbers)

    def body(self, number: int) -> str:
        row = self.db.execute("SELECT body FROM entries WHERE number = ?", (number,)).fetchone()
        return str(row[0])

    def set_body(self, number: int, body: str | bytes) -> None:
        self.db.execute(
            "UPDATE entries SET body = CAST(? AS TEXT) WHERE number = ?", (body, number)
        )

    # edits

    def edit_field(self) -> None:
        number = self.pick()
        entry = json.loads(self.body(number))
        name = self.rng.choice(sorted(entry))
        other = {
            "number": entry["number"] + self.rng.choice([-1, 1, 100]),
            "time": "2020-01-01T00:00:00.000000+00:00",
            "actor": "nobody",
            "action": self.rng.choice([a.value for a in _OTHERS if a.value != entry["action"]]),
            "outcome": Outcome.FAILED.value if entry["outcome"] == "done" else "done",
            "cases": [*entry["cases"], "ab" * 16],
            "details": {**entry["details"], "k": 10**6},
            "previous": hashlib.sha256(b"x").hexdigest(),
        }
        entry[name] = other[name]
        self.set_body(number, json.dumps(entry, sort_keys=True, separators=(",", ":")))

    def edit_blank(self) -> None:
        number = self.pick()
        self.set_body(number, json.dumps(json.loads(self.body(number)), sort_keys=True))

    def edit_byte_of_body(self) -> None:
        number = self.pick()
        body = bytearray(self.body(number).encode())
        body[self.rng.randrange(len(body))] ^= 1 << self.rng.randrange(7)
        self.set_body(number, bytes(body))

    def edit_byte_of_seal(self) -> None:
        number = self.pick()
        (seal,) = self.db.execute("SELECT seal FROM entries WHERE number = ?", (number,)).fetchone()
        changed = bytearray(seal)
        changed[self.rng.randrange(len(changed))] ^= 1 << self.rng.randrange(8)
        self.db.execute("UPDATE entries SET seal = ? WHERE number = ?", (bytes(changed), number))

    def forge_without_the_key(self) -> None:
        """Rewrite the chain from an entry on, as somebody would who has all but the key."""
        first = self.pick()
        previous = ""
        for number in self.numbers[self.numbers.index(first) :]:
            entry = json.loads(self.body(number))
            if previous:
                entry["previous"] = previous
            else:
                entry["actor"] = "nobody"
            body = json.dumps(entry, sort_keys=True, separators=(",", ":"))
            previous = hashlib.sha256(body.encode()).hexdigest()
            seal = hashlib.sha256(bytes.fromhex(previous)).digest()
            self.db.execute(
                "UPDATE entries SET body = ?, seal = ? WHERE number = ?", (body, seal, number)
            )

    # deletions

    def delete(self) -> None:
        self.db.execute("DELETE FROM entries WHERE number = ?", (self.pick(),))

    def delete_some(self) -> None:
        for number in self.rng.sample(self.numbers, self.rng.randint(2, len(self.numbers))):
            self.db.execute("DELETE FROM entries WHERE number = ?", (number,))

    def delete_and_close_up(self) -> None:
        gone = self.pick()
        self.db.execute("DELETE FROM entries WHERE number = ?", (gone,))
        self.db.execute("UPDATE entries SET number = -number WHERE number > ?", (gone,))
        self.db.execute("UPDATE entries SET number = -number - 1 WHERE number < 0")

    def cut(self) -> None:
        last = self.rng.choice(self.numbers[:-1])
        self.db.execute("DELETE FROM entries WHERE number > ?", (last,))

    def cut_the_beginning(self) -> None:
        first = self.rng.choice(self.numbers[1:])
        digest = hashlib.sha256(self.body(first - 1).encode()).hexdigest()
        self.db.execute("DELETE FROM entries WHERE number < ?", (first,))
        if self.rng.random() < 0.5:  # and say that they were archived
            self.db.execute("UPDATE start SET number = ?, digest = ?", (first - 1, digest))

    def delete_everything(self) -> None:
        self.db.execute("DELETE FROM entries")

    def cut_the_file(self) -> None:
        self.db.close()
        path = self.folder / "journal.sqlite"
        size = self.rng.randrange(path.stat().st_size)
        with path.open("rb+") as file:
            file.truncate(size)

    def older_file(self) -> None:
        self.db.close()
        shutil.copy(self.older / "journal.sqlite", self.folder / "journal.sqlite")

    def remove_the_file(self) -> None:
        self.db.close()
        (self.folder / "journal.sqlite").unlink()
        if self.rng.random() < 0.5:
            (self.folder / "journal.head").unlink()

    # insertions and moves

    def insert_a_copy(self) -> None:
        number = self.pick()
        place = self.rng.choice([self.numbers[-1] + 1, 0, -self.rng.randint(1, 9)])
        self.db.execute(
            "INSERT INTO entries SELECT ?, body, seal FROM entries WHERE number = ?",
            (place, number),
        )

    def insert_between(self) -> None:
        at, number = self.pick(), self.pick()
        self.db.execute("UPDATE entries SET number = -number WHERE number >= ?", (at,))
        self.db.execute("UPDATE entries SET number = 1 - number WHERE number < 0")
        source = number if number < at else number + 1
        self.db.execute(
            "INSERT INTO entries SELECT ?, body, seal FROM entries WHERE number = ?",
            (at, source),
        )

    def swap(self) -> None:
        one, two = self.rng.sample(self.numbers, 2)
        for old, new in ((one, -1), (two, one), (-1, two)):
            self.db.execute("UPDATE entries SET number = ? WHERE number = ?", (new, old))

    def swap_contents(self) -> None:
        one, two = self.rng.sample(self.numbers, 2)
        first, second = self.body(one), self.body(two)
        self.set_body(one, second)
        self.set_body(two, first)

    def shuffle(self) -> None:
        order = self.numbers[:]
        while order == self.numbers:
            self.rng.shuffle(order)
        self.db.execute("UPDATE entries SET number = -number")
        for new, old in zip(self.numbers, order, strict=True):
            self.db.execute("UPDATE entries SET number = ? WHERE number = ?", (new, -old))

    # around the entries

    def links(self) -> None:
        rows = self.db.execute("SELECT lookup, number, seal FROM links").fetchall()
        one, two = self.rng.sample(rows, 2)
        how = self.rng.randrange(4)
        if how == 0:
            self.db.execute("DELETE FROM links WHERE lookup = ?", (one[0],))
        elif how == 1:
            self.db.execute("UPDATE links SET number = ? WHERE lookup = ?", (b"x" * 16, one[0]))
        elif how == 2:
            self.db.execute("DELETE FROM links WHERE lookup IN (?, ?)", (one[0], two[0]))
            swapped = [(one[0], two[1], one[2]), (two[0], one[1], two[2])]
            self.db.executemany("INSERT INTO links VALUES (?, ?, ?)", swapped)
        else:
            self.db.execute("INSERT INTO links VALUES (?, ?, ?)", (b"l" * 16, b"n" * 16, b"s" * 32))

    def start(self) -> None:
        change = self.rng.choice(
            [
                "DELETE FROM start",
                "UPDATE start SET number = number + 1",
                "UPDATE start SET journal = 'another'",
                "INSERT INTO start SELECT * FROM start",
                "UPDATE start SET seal = x'00'",
            ]
        )
        self.db.execute(change)

    def schema(self) -> None:
        change = self.rng.choice(
            [
                "CREATE TABLE more (a)",
                "CREATE TRIGGER hide AFTER INSERT ON entries BEGIN "
                "DELETE FROM entries WHERE number = new.number - 1; END",
                "PRAGMA user_version = 0",
                "PRAGMA application_id = 7",
                "DROP TABLE links",
                "ALTER TABLE entries ADD COLUMN remark TEXT",
            ]
        )
        self.db.execute(change)

    def head(self) -> None:
        path = self.folder / "journal.head"
        data = bytearray(path.read_bytes())
        how = self.rng.randrange(3)
        if how == 0:
            path.unlink()
        elif how == 1:
            path.write_bytes(data[: self.rng.randrange(len(data))])
        else:
            data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
            path.write_bytes(data)


_WAYS: tuple[Callable[[_Tampering], None], ...] = (
    _Tampering.edit_field,
    _Tampering.edit_field,
    _Tampering.edit_blank,
    _Tampering.edit_byte_of_body,
    _Tampering.edit_byte_of_seal,
    _Tampering.forge_without_the_key,
    _Tampering.delete,
    _Tampering.delete_some,
    _Tampering.delete_and_close_up,
    _Tampering.cut,
    _Tampering.cut,
    _Tampering.cut_the_beginning,
    _Tampering.delete_everything,
    _Tampering.cut_the_file,
    _Tampering.older_file,
    _Tampering.remove_the_file,
    _Tampering.insert_a_copy,
    _Tampering.insert_between,
    _Tampering.swap,
    _Tampering.swap_contents,
    _Tampering.shuffle,
    _Tampering.links,
    _Tampering.start,
    _Tampering.schema,
    _Tampering.head,
)


def tamper_trials(folder: Path, n_trials: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Change a journal in random ways, each from the same state.

    In half of the trials the program appends an entry before the journal is verified: what was
    changed must not be hidden by it.

    Returns
    -------
    tried : Counter
        Trials by the way of changing.
    unseen : list of str
        Trials that verification did not detect.
    """
    rng = random.Random(seed)
    whole, older, copy = folder / "whole", folder / "older", folder / "copy"
    name = make_journal(older, 5)
    shutil.copytree(older, whole)
    with Journal(whole, NAMES, name) as journal:
        write_entries(journal, 7, seed=1)
        assert journal.check().is_whole
    tried: Counter[str] = Counter()
    unseen = []
    for trial in range(n_trials):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        way = rng.choice(_WAYS)
        tampering = _Tampering(copy, older, rng)
        with closing(tampering.db):
            way(tampering)
        tried[way.__name__] += 1
        if _check(copy, name, rng.random() < 0.5).is_whole:
            unseen.append(f"{trial}: {way.__name__}")
    return tried, unseen


def _check(folder: Path, name: str, append: bool) -> JournalCheck:
    with Journal(folder, NAMES, name) as journal:
        if append:
            with suppress(LibraryError):  # it may say so at once
                journal.record(Action.QUERY, actor=LOCAL, cases=["case-1"])
        return journal.check()
