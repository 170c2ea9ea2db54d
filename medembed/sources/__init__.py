"""Where cases come from: tables, folders of DICOM files, and what others add."""

from medembed.sources.dicom_folder import DicomFolderSource
from medembed.sources.notes_table import NotesTable
from medembed.sources.opening import SOURCES, open_source
from medembed.sources.refusal import Refusal
from medembed.sources.source import FileJournal, FileRecord, FileState, Reading, Source
from medembed.sources.table import TableSource

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
