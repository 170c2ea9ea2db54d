"""Where cases come from: tables, folders of DICOM files, and what others add."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medembed.sources.rejection import Refusal

if TYPE_CHECKING:
    from medembed.sources.dicom_folder import DicomFolderSource
    from medembed.sources.notes_table import NotesTable
    from medembed.sources.registry import SOURCES, open_source
    from medembed.sources.source import FileJournal, FileRecord, FileState, Reading, Source
    from medembed.sources.table import TableSource

_HOME = {
    "DicomFolderSource": "dicom_folder",
    "FileJournal": "source",
    "FileRecord": "source",
    "FileState": "source",
    "NotesTable": "notes_table",
    "Reading": "source",
    "SOURCES": "registry",
    "Source": "source",
    "TableSource": "table",
    "open_source": "registry",
}

__all__ = [
    "SOURCES",
    "DicomFolderSource",
    "FileJournal",
    "FileRecord",
    "FileState",
    "NotesTable",
    "Reading",
    "Refusal",
    "Source",
    "TableSource",
    "open_source",
]


def __getattr__(name: str) -> Any:
    """Load a source when it is asked for: a search needs none."""
    if name in _HOME:
        return getattr(import_module(f"medembed.sources.{_HOME[name]}"), name)
    raise AttributeError(f"module 'medembed.sources' has no attribute {name!r}")
