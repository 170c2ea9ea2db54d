"""A table of reports, joined with studies by accession number or study UID."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medembed.cases import Finding
from medembed.counted import counted_line
from medembed.errors import InputError, SourceError
from medembed.notes import Note, Vocabulary
from medembed.privacy import Pseudonymizer
from medembed.sources.cell_parsers import findings_of, kept_of, note_of, split_of, text_of
from medembed.sources.file_header import accession_key, study_key
from medembed.sources.refusal import CellError, Refusal
from medembed.sources.tabular import Row, Table

__all__ = ["NotesTable", "StudyNote"]

_KEYS = ("accession", "study_uid")
_IDS = (*_KEYS, "group_id")
_KNOWN = (*_KEYS, "note", "findings", "race", "site", "scanner", "split", "group_id")

_DOUBLED = "duplicate row for this study; all its rows are ignored"


@dataclass(frozen=True)
class StudyNote:
    """The content of a row for its study.

    Parameters
    ----------
    note : Note or None
    findings : tuple of Finding
    race, site, scanner : str
        ``"unknown"`` if the row does not state it.
    split, group_id : str
        Empty if the row does not state it; ``group_id`` as in the table.
    attributes : mapping of str to str
    """

    note: Note | None
    findings: tuple[Finding, ...]
    race: str
    site: str
    scanner: str
    split: str
    group_id: str
    attributes: Mapping[str, str]


class NotesTable:
    """Reports by study.

    Parameters
    ----------
    path : path-like
        csv, tsv or parquet with ``accession`` or ``study_uid`` (or both) and ``note``; optional
        columns are ``findings, race, site, scanner, split, group_id``.
    keep_columns : sequence of str
    names : Pseudonymizer, optional
        If given, studies and accession numbers are joined by their keyed hashes
        (:mod:`medembed.sources.file_header`).
    vocabulary : Vocabulary, optional
        Vocabulary to read the reports with.

    Raises
    ------
    SourceError
        If the table cannot be read or lacks a column.
    """

    def __init__(
        self,
        path: str | Path,
        keep_columns: Sequence[str] = (),
        names: Pseudonymizer | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self._names = names
        self._vocabulary = vocabulary
        self.path = Path(path).absolute()
        self._table = Table(self.path, ("note",), _KNOWN, ids=_IDS, keys=_KEYS, keep=keep_columns)
        self._keys = [key for key in _KEYS if key in self._table.columns]
        if not self._keys:
            raise SourceError("missing column: accession or study_uid", where=self._table.name)
        self._rows: dict[str, dict[str, Row]] = {key: {} for key in _KEYS}
        self._faults: list[Refusal] = []
        self._joined: set[int] = set()
        self._numbers: set[int] = set()
        self._load()

    def _load(self) -> None:
        taken: dict[tuple[str, str], Row] = {}
        doubled: set[tuple[str, str]] = set()
        for row in self._table.rows():
            if row.fault:
                self._refuse(row, row.fault, "bad-row")
                continue
            stated = [(key, self._key(key, row.cells[key])) for key in self._keys]
            keys = [pair for pair in stated if pair[1]]
            if not keys:
                self._refuse(row, "neither accession nor study_uid", "missing-value")
                continue
            clash = [pair for pair in keys if pair in taken]
            if clash and all(taken[pair].cells == row.cells for pair in clash):
                continue  # an identical row
            if clash:
                doubled.update(clash)
                self._refuse(row, _DOUBLED, "duplicate-note")
                continue
            self._numbers.add(row.number)
            taken.update(dict.fromkeys(keys, row))
        for pair, row in taken.items():
            if pair in doubled and row.number in self._numbers:
                self._numbers.discard(row.number)
                self._refuse(row, _DOUBLED, "duplicate-note")
        for (column, value), row in taken.items():
            if row.number in self._numbers:
                self._rows[column][value] = row

    def _key(self, column: str, value: str) -> str:
        if self._names is None:
            return value.strip()
        return (study_key if column == "study_uid" else accession_key)(self._names, value)

    def _refuse(self, row: Row, reason: str, code: str) -> None:
        self._faults.append(Refusal(f"{self._table.name} row {row.number}", reason, code))

    def drop_ambiguous_accessions(self, studies: Mapping[str, set[str]]) -> None:
        """Drop accession numbers that belong to several studies, so that nothing is joined by them.

        Parameters
        ----------
        studies : mapping of str to set of str
            Studies by accession number.
        """
        ambiguous = [number for number, ones in studies.items() if len(ones) > 1]
        for number in ambiguous:
            row = self._rows["accession"].pop(number, None)
            if row is not None and not row.cells.get("study_uid", "").strip():
                self._numbers.discard(row.number)
                self._refuse(
                    row, "several studies have its accession number", "ambiguous-accession"
                )

    def faults(self) -> Iterator[Refusal]:
        """Yield the rows that cannot be joined."""
        yield from self._faults

    def join(self, study: str, accessions: set[str]) -> StudyNote | None:
        """Find the row of a study; None if there is none.

        Parameters
        ----------
        study : str
            Study UID, or its keyed hash if the table uses hashes.
        accessions : set of str
            Accession numbers of the study, likewise.

        Raises
        ------
        CellError
            If the row has an invalid value, or several rows match the study.
        """
        rows = {}
        by_uid = self._rows["study_uid"].get(study)
        for row in (by_uid, *(self._rows["accession"].get(a) for a in sorted(accessions))):
            if row is not None:
                rows[row.number] = row
        if not rows:
            return None
        self._joined.update(rows)
        if len(rows) > 1:
            raise CellError("several rows of the notes table match this study", "ambiguous-note")
        (row,) = rows.values()
        stated = self._key("study_uid", row.cells.get("study_uid", ""))
        if stated and stated != study:
            raise CellError(
                "the notes table assigns its accession number to another study", "wrong-study"
            )
        return self._note(row)

    def _note(self, row: Row) -> StudyNote:
        cells = row.cells
        where = f"row {row.number} of the notes table: "
        try:
            note = note_of(cells, self._vocabulary)
            return StudyNote(
                note,
                findings_of(cells, note),
                text_of(cells, "race"),
                text_of(cells, "site"),
                text_of(cells, "scanner"),
                split_of(cells),
                cells.get("group_id", "").strip(),
                kept_of(cells, self._table.keep),
            )
        except CellError as error:
            raise CellError(where + error.what, error.code) from None
        except InputError as error:
            raise CellError(where + error.what, "bad-row") from None

    def warn(self, warn: Callable[[str], None], n_without: int) -> None:
        """Report unmatched notes and studies.

        Parameters
        ----------
        warn : callable
        n_without : int
            Number of studies without a matching row.
        """
        self._table.warn(warn)
        self._table.warn_rows(warn)
        left = len(self._numbers - self._joined)
        if left:
            line = counted_line(left, "[note matches|notes match] no study")
            warn(f"{self._table.name}: {line}")
        if n_without:
            line = counted_line(n_without, "[study has|studies have] no note in")
            warn(f"{line} {self._table.name}")
