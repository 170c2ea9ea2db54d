"""The files of one study: whose it is, and which of them are its scans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medembed.errors import ScanError
from medembed.scans import ScanHeader, Series, group_series
from medembed.sources.source import FileRecord

__all__ = ["ScanChoice", "Study", "choose_scans", "one_patient"]

_FRONTAL = ("PA", "AP")


@dataclass
class Study:
    """Files that carry one ``StudyInstanceUID``.

    Parameters
    ----------
    uid : str
    files : list of Path
    headers : list of ScanHeader
        In the same order.
    """

    uid: str = field(repr=False)
    files: list[Path] = field(default_factory=list, repr=False)
    headers: list[ScanHeader] = field(default_factory=list, repr=False)

    def add(self, path: Path, header: ScanHeader) -> None:
        """Take one more file."""
        self.files.append(path)
        self.headers.append(header)

    @property
    def accessions(self) -> set[str]:
        """Accession numbers of the study, without blanks."""
        return {header.accession for header in self.headers if header.accession}


@dataclass(frozen=True)
class ScanChoice:
    """What of a study becomes scans.

    Parameters
    ----------
    series : tuple of Series
        Volumes first, then frontal views, then the rest, each in the order of the files.
    refused : tuple of (files, ScanError)
    noticed : counter of str
        What was left out without being refused.
    """

    series: tuple[Series, ...]
    refused: tuple[tuple[tuple[Path, ...], ScanError], ...]
    noticed: Counter[str]


def one_patient(headers: Sequence[ScanHeader]) -> tuple[str, str] | None:
    """Whose study it is: ``PatientID`` and its issuer; blank where no file says.

    Returns
    -------
    tuple of str or None
        None where two files name two patients.
    """
    stated = {(h.patient_id.strip(), h.issuer.strip()) for h in headers if h.patient_id.strip()}
    ids = {patient for patient, _ in stated}
    issuers = {issuer for _, issuer in stated if issuer}
    if len(ids) > 1 or len(issuers) > 1:
        return None
    return (ids.pop() if ids else "", issuers.pop() if issuers else "")


def choose_scans(study: Study, known: Mapping[Path, FileRecord]) -> ScanChoice:
    """Choose the scans of a study among its files that decode.

    The same instance with the same content counts once; with another content it is refused.
    Localizers are left out where there is anything else.
    """
    refused: list[tuple[tuple[Path, ...], ScanError]] = []
    noticed: Counter[str] = Counter()
    uids: set[str] = set()
    contents: set[str] = set()
    taken: list[tuple[str | Path, ScanHeader]] = []
    for path, header in zip(study.files, study.headers, strict=True):
        record = known[path]
        if record.code:
            continue
        if record.sha256 in contents:
            noticed["files are exact copies and were taken once"] += 1
            continue
        uid = header.instance_uid
        if uid and uid in uids:
            error = ScanError(
                "another file has its SOPInstanceUID but other content", reason="duplicate-instance"
            )
            refused.append(((path,), error))
            continue
        contents.add(record.sha256)
        uids.add(uid)
        taken.append((path, header))
    series = []
    for one in group_series(taken):
        if one.error is not None:
            refused.append((one.files, one.error))
        else:
            series.append(one)
            if one.note:
                noticed[f"scans are part of a series that was {one.note}"] += 1
    wanted = [one for one in series if "LOCALIZER" not in one.headers[0].image_type]
    if wanted and len(wanted) < len(series):
        noticed["localizers were left out"] += len(series) - len(wanted)
        series = wanted
    series.sort(key=_rank)
    return ScanChoice(tuple(series), tuple(refused), noticed)


def _rank(series: Series) -> tuple[bool, bool]:
    header = series.headers[0]
    is_volume = len(series.files) > 1 or header.n_frames > 1
    return not is_volume, header.view not in _FRONTAL
