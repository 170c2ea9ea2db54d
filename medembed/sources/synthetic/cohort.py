"""Write a cohort to disk: DICOM files, a table of reports and a table of the truth."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medembed.errors import SourceError
from medembed.privacy.private_files import private_folder
from medembed.progress import Progress
from medembed.sources.synthetic.config import CohortConfig
from medembed.sources.synthetic.ct import chest_volume, ct_grid
from medembed.sources.synthetic.dicom import ct_slice, radiograph_file, write_whole
from medembed.sources.synthetic.findings import build_chest
from medembed.sources.synthetic.lesion import Lesion
from medembed.sources.synthetic.markers import stamp
from medembed.sources.synthetic.plan import Entry, Study, findings_of, plan_cohort
from medembed.sources.synthetic.projection import make_view, radiograph
from medembed.sources.synthetic.report import write_report
from medembed.sources.synthetic.scanners import SCANNERS

__all__ = ["Cohort", "render_views", "write_cohort"]


VERSION = 3
"""Raised whenever a cohort begun by an earlier version could not be finished by this one."""


@dataclass(frozen=True)
class Cohort:
    """A written cohort.

    Parameters
    ----------
    folder : Path
    n_studies, n_patients, n_files : int
    """

    folder: Path
    n_studies: int
    n_patients: int
    n_files: int

    @property
    def dicom(self) -> Path:
        """Folder of the DICOM files."""
        return self.folder / "dicom"

    @property
    def reports(self) -> Path:
        """Table of reports, as a hospital would provide it."""
        return self.folder / "reports.csv"

    @property
    def truth(self) -> Path:
        """Table of the findings that the images show."""
        return self.folder / "truth.csv"


def write_cohort(
    folder: str | Path,
    config: CohortConfig,
    *,
    progress: Progress | None = None,
    workers: int = 2,
) -> Cohort:
    """Write a synthetic cohort, or finish one that was interrupted.

    The bytes depend only on ``config``, not on ``workers`` or interruptions.

    Parameters
    ----------
    folder : str or Path
        Created if missing. Afterwards it holds ``dicom/``, ``reports.csv`` (accession, study_uid,
        note, findings, race, site, scanner, split), ``truth.csv`` and ``cohort.json``.
    config : CohortConfig
    progress : callable or None
        Called with the studies done and their total.
    workers : int
        Number of processes; 1 uses this one.

    Returns
    -------
    Cohort

    Raises
    ------
    SourceError
        If the folder has a cohort of another configuration, or other files.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cohort = write_cohort(folder, CohortConfig(n_studies=1, size=64), workers=1)
    ...     cohort.n_studies, cohort.reports.name
    (1, 'reports.csv')
    """
    folder = Path(folder)
    _claim(folder, config)
    studies = list(plan_cohort(config))
    private_folder(folder / "dicom")
    for leftover in (folder / "dicom").glob("**/.*.part"):
        leftover.unlink()
    _tables(folder, config, studies)
    n_files = 0
    if progress is not None:
        progress(0, len(studies))
    for done, count in enumerate(_render_all(folder, config, studies, workers), 1):
        n_files += count
        if progress is not None:
            progress(done, len(studies))
    return Cohort(folder, len(studies), len({s.patient for s in studies}), n_files)


def _claim(folder: Path, config: CohortConfig) -> None:
    """Claim the folder for this configuration, or check that it is claimed."""
    described = json.dumps({"version": VERSION, "config": _plain(config)}, indent=1, sort_keys=True)
    mark = folder / "cohort.json"
    if mark.exists():
        if mark.read_text(encoding="utf-8") != described:
            raise SourceError(
                "a cohort of another configuration or version",
                where=str(folder),
                hint="choose an empty folder",
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise SourceError(
            "the folder has other files than a synthetic cohort",
            where=str(folder),
            hint="choose an empty folder",
        )
    private_folder(folder)
    write_whole(mark, described.encode())


def _plain(value: object) -> object:
    """Dataclasses and mappings as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if hasattr(value, "items"):
        return {str(k): _plain(v) for k, v in value.items()}
    return value


def _files_of(study: Study) -> list[str]:
    """Names of a study's files or, for a CT, its folder, relative to ``dicom``."""
    stem = f"p{study.patient:06d}-{study.number}"
    return [f"{stem}-{view.lower()}" + ("" if view == "CT" else ".dcm") for view in study.views]


def _render_all(
    folder: Path, config: CohortConfig, studies: list[Study], workers: int
) -> Iterator[int]:
    """Render what is missing; yield the number of files of each study, in order."""
    if workers <= 1:
        for study in studies:
            yield _render(folder, config, study)
        return
    context = multiprocessing.get_context("forkserver")
    with context.Pool(workers, _start, (folder, config)) as pool:
        yield from pool.imap(_render_here, studies, chunksize=4)


_HERE: tuple[Path, CohortConfig] | None = None


def _start(folder: Path, config: CohortConfig) -> None:
    global _HERE  # noqa: PLW0603 -- a worker process serves one cohort
    _HERE = (folder, config)


def _render_here(study: Study) -> int:
    if _HERE is None:
        raise RuntimeError("the worker was not started for a cohort")
    return _render(*_HERE, study)


def _render(folder: Path, config: CohortConfig, study: Study) -> int:
    """Write the missing files of a study; return the number of all its files."""
    names = _files_of(study)
    paths = [folder / "dicom" / name for name in names]
    if "CT" in study.views:
        return _render_ct(paths[0], config, study)
    if not all(path.exists() for path in paths):
        for path, content in zip(paths, render_views(config, study), strict=True):
            if not path.exists():
                write_whole(path, content)
    return len(paths)


def render_views(config: CohortConfig, study: Study) -> Iterator[bytes]:
    """Render the radiographs of a study as DICOM files, in the order of its views."""
    scanner = SCANNERS[study.scanner]
    detail = max(0.5, config.size / 256) if config.size < 256 else max(1.0, config.size / 320)
    chest = build_chest(study.build, study.pose, study.lesions, detail)
    for order, name in enumerate(study.views):
        rng = np.random.default_rng([config.seed, study.patient, study.number, 9, order])
        field = 2 * study.build.half_width + rng.uniform(80, 112) + (45 if name == "AP" else 0)
        view = make_view(name, chest, config.size, field)
        image = radiograph(chest, view, scanner, rng, noise=study.noise)
        image = stamp(image, name, rng)
        yield radiograph_file(study, scanner, view, image, config.seed)


def _render_ct(folder: Path, config: CohortConfig, study: Study) -> int:
    """Write the missing slices of a CT series."""
    private_folder(folder)
    chest = build_chest(study.build, study.pose, study.lesions, 1.0)
    grid = ct_grid(chest, config.ct_size)
    count = len(grid.z)
    paths = [folder / f"{i:03d}.dcm" for i in range(count)]
    if all(path.exists() for path in paths):
        return count
    volume = chest_volume(chest, grid)
    rng = np.random.default_rng([config.seed, study.patient, study.number, 9])
    grain = rng.standard_normal(volume.shape, dtype=np.float32)
    volume = volume + np.float32(14 * study.noise) * grain
    scanner = SCANNERS[study.scanner]
    for i, path in enumerate(paths):
        if not path.exists():
            write_whole(path, ct_slice(study, scanner, grid, volume, i, config.seed))
    return count


def _details(entry: Entry) -> dict[str, object]:
    """Columns of ``truth.csv`` for one finding."""
    lesion: Lesion = entry.lesion
    out: dict[str, object] = {"label": lesion.label, "reported": entry.status}
    if lesion.label not in {"other", "support device"}:
        out["degree"] = lesion.degree
    for name in ("side", "place", "kind"):
        if getattr(lesion, name):
            out[name] = getattr(lesion, name)
    if lesion.ribs and lesion.ribs != (0,):
        out["ribs"] = list(lesion.ribs)
    if lesion.size:
        out["ratio" if lesion.label == "cardiomegaly" else "size_mm"] = lesion.size
    if entry.change:
        out["change"] = entry.change
    return out


def _tables(folder: Path, config: CohortConfig, studies: list[Study]) -> None:
    """Write ``reports.csv`` and ``truth.csv``."""
    reports: list[dict[str, str]] = []
    truth: list[dict[str, str]] = []
    for study in studies:
        findings = findings_of(study.lesions)
        told = findings_of(tuple(e.lesion for e in study.entries if e.status != "omitted"))
        shared = {
            "accession": study.accession,
            "study_uid": study.study_uid,
            "findings": findings,
            "race": study.race,
            "site": study.site,
            "scanner": study.scanner,
            "split": _split_of(config.seed, study.patient),
        }
        # stated explicitly: an empty cell would be filled from the report, including marks of age
        stated = {"findings": findings or "No Finding"}
        reports.append({**shared, **stated, "note": write_report(study, config.seed)})
        truth.append(
            {
                **shared,
                "patient": f"SYN-{study.patient + 1:06d}",
                "study_date": study.when.isoformat(),
                "sex": study.sex,
                "age": str(study.age),
                "views": ";".join(study.views),
                "files": ";".join(_files_of(study)),
                "reported": told,
                "details": json.dumps([_details(e) for e in study.entries], sort_keys=True),
            }
        )
    columns = ["accession", "study_uid", "note", "findings", "race", "site", "scanner", "split"]
    _write_csv(folder / "reports.csv", columns, reports)
    columns = ["study_uid", "accession", "patient", "study_date", "sex", "age", "race", "site",
               "scanner", "split", "views", "files", "findings", "reported", "details"]  # fmt: skip
    _write_csv(folder / "truth.csv", columns, truth)


def _split_of(seed: int, patient: int) -> str:
    """Assign patients to splits by a hash: 70% train, 10% val, 20% test."""
    draw = int.from_bytes(hashlib.sha256(f"{seed}:{patient}".encode()).digest()[:4], "big") / 2**32
    return "train" if draw < 0.7 else "val" if draw < 0.8 else "test"


def _write_csv(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = buffer.getvalue().encode()
    if (
        path.exists()
        and hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()
    ):
        return
    write_whole(path, content)
