"""Where cases come from: tables, folders of DICOM files, and what others add."""

from medembed.sources.refusal import Refusal

__all__ = ["Refusal"]
