"""Reading of DICOM, PNG, JPEG and NIfTI files into :class:`Scan`."""

from medembed.scans.header import ScanHeader
from medembed.scans.limits import Limits
from medembed.scans.pixel_digest import combine_pixel_digests, pixel_digest
from medembed.scans.read import read_header, read_scan
from medembed.scans.scan import Scan, Units, VoiLut, Window
from medembed.scans.series import Series, group_series
from medembed.scans.sop_classes import kind_of
from medembed.scans.window import PRESETS, apply_window, default_window
from medembed.scans.worker_pool import ScanReader

__all__ = [
    "PRESETS",
    "Limits",
    "Scan",
    "ScanHeader",
    "ScanReader",
    "Series",
    "Units",
    "VoiLut",
    "Window",
    "apply_window",
    "combine_pixel_digests",
    "default_window",
    "group_series",
    "kind_of",
    "pixel_digest",
    "read_header",
    "read_scan",
]
