"""Kind of a DICOM object by its SOP class (DICOM PS3.4 B.5)."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

__all__ = ["KINDS", "kind_of"]

_STORAGE = "1.2.840.10008.5.1.4.1.1."

# The longest prefix of the part after _STORAGE decides; "" covers images without a line.
_CLASSES = MappingProxyType(
    {
        "": "image",
        "4.2": "unknown",  # spectroscopy
        "7": "secondary capture",
        "8": "presentation state",  # overlay
        "9": "waveform",
        "10": "presentation state",  # modality LUT
        "11": "presentation state",
        "30": "parametric map",
        "66": "unknown",  # raw data
        "66.1": "registration",
        "66.2": "registration",
        "66.3": "registration",
        "66.4": "segmentation",
        "66.5": "segmentation",
        "66.6": "unknown",  # tractography
        "66.7": "segmentation",
        "66.8": "segmentation",
        "67": "unknown",  # real world value mapping
        "68": "segmentation",  # surface scan mesh
        "77.1.5.3": "unknown",  # stereometric relationship
        "78": "report",  # refraction, keratometry, acuity
        "79": "report",
        "80": "report",
        "88": "report",
        "90": "report",
        "91": "segmentation",  # annotations of a slide
        "104": "report",
        "129": "waveform",  # PET curve
        "131": "presentation state",  # structured display
        "200": "unknown",  # implant templates, protocols
        "201": "unknown",
        "481": "plan",
        "481.1": "image",  # RT Image
        "481.2": "dose",
        "481.3": "segmentation",  # contours
        "481.11": "segmentation",
        "481.23": "image",
        "481.24": "image",
    }
)
_BY_MODALITY = MappingProxyType(
    {
        "SEG": "segmentation",
        "RTSTRUCT": "segmentation",
        "RTDOSE": "dose",
        "RTPLAN": "plan",
        "RTRECORD": "plan",
        "PR": "presentation state",
        "REG": "registration",
        "FID": "registration",
        "SR": "report",
        "KO": "report",
        "DOC": "report",
        "PLAN": "plan",
        "ECG": "waveform",
        "EEG": "waveform",
        "EMG": "waveform",
        "EPS": "waveform",
        "HD": "waveform",
        "RESP": "waveform",
    }
)
# fmt: off
_IMAGES = frozenset({
    "BI", "BMD", "CR", "CT", "DX", "EC", "ES", "GM", "IO", "IVUS", "MG", "MR", "NM", "OP", "OPT",
    "PT", "PX", "RF", "RG", "RTIMAGE", "SM", "US", "XA", "XC",
})
_SCREENS = (
    "SCREEN SAVE", "SCREENSAVE", "SCREEN CAP", "SCREENCAP", "SCREENSHOT",
    "DOSE_INFO", "DOSE INFO", "DOSE REPORT",
)
# fmt: on
_LOCALIZERS = ("LOCALIZER", "SCOUT", "TOPOGRAM")

KINDS = tuple(sorted({*_CLASSES.values(), *_BY_MODALITY.values(), "localizer"}))
"""All kinds."""


def kind_of(sop_class: str, image_type: Sequence[str] = (), modality: str = "") -> str:
    """Return the kind of an object.

    Parameters
    ----------
    sop_class : str
        ``SOPClassUID``; may be empty.
    image_type : sequence of str
        Values of ``ImageType``. Identifies a screen capture saved as CT or MR.
    modality : str
        Decides if the SOP class is unknown, or if a mask or dose was saved as an image.

    Returns
    -------
    str
        One of :data:`KINDS`; ``"unknown"`` if undecidable, as for plain images.

    Examples
    --------
    >>> kind_of("1.2.840.10008.5.1.4.1.1.66.4")
    'segmentation'
    >>> kind_of("1.2.840.10008.5.1.4.1.1.2", ("ORIGINAL", "PRIMARY", "LOCALIZER"), "CT")
    'localizer'
    """
    kind = _kind_of_class(sop_class)
    if kind not in ("image", "secondary capture", "unknown"):
        return kind
    modality = modality.upper()
    if modality in _BY_MODALITY:
        return _BY_MODALITY[modality]
    values = [value.upper() for value in image_type]
    if any(word in value for value in values for word in _SCREENS):
        return "secondary capture"
    if any(word in value for value in values for word in _LOCALIZERS):
        return "localizer"
    if kind == "unknown" and not sop_class.startswith(_STORAGE) and modality in _IMAGES:
        return "image"
    return kind


def _kind_of_class(sop_class: str) -> str:
    if not sop_class.startswith(_STORAGE):
        return "unknown"
    parts = sop_class.removeprefix(_STORAGE).split(".")
    for length in range(len(parts), 0, -1):
        kind = _CLASSES.get(".".join(parts[:length]))
        if kind is not None:
            return kind
    return _CLASSES[""]
