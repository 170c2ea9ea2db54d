"""Sources of cases: tables, folders of DICOM files, and sources of other packages."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medembed.sources.refusal import Refusal

if TYPE_CHECKING:
    from medembed.sources.dicom_folder import DicomFolderSource
    from medembed.sources.notes_table import NotesTable
    from medembed.sources.registry import SOURCES, open_source
    from medembed.sources.source import FileCache, FileRecord, FileState, Source, SourceContext
    from medembed.sources.table import TableSource

_HOME = {
    "DicomFolderSource": "dicom_folder",
    "FileCache": "source",
    "FileRecord": "source",
    "FileState": "source",
    "NotesTable": "notes_table",
    "SourceContext": "source",
    "SOURCES": "registry",
    "Source": "source",
    "TableSource": "table",
    "open_source": "registry",
}

__all__ = [
    "SOURCES",
    "DicomFolderSource",
    "FileCache",
    "FileRecord",
    "FileState",
    "NotesTable",
    "Refusal",
    "Source",
    "SourceContext",
    "TableSource",
    "open_source",
]


def __getattr__(name: str) -> Any:
    """Import a source on first use: a search needs none."""
    if name in _HOME:
        return getattr(import_module(f"medembed.sources.{_HOME[name]}"), name)
    raise AttributeError(f"module 'medembed.sources' has no attribute {name!r}")
