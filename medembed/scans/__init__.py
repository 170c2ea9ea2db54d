"""Files into :class:`Scan`: DICOM, PNG, JPEG and NIfTI."""

from medembed.scans.scan import Scan, Units, Window

__all__ = ["Scan", "Units", "Window"]
