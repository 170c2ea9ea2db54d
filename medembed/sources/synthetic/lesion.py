"""The noun :class:`Lesion`: one finding as it is."""

from __future__ import annotations

from dataclasses import dataclass

from medembed.sources.synthetic.body import LEFT, RIGHT

__all__ = ["Lesion"]


@dataclass(frozen=True)
class Lesion:
    """One finding as it is: the truth that image and report both follow.

    Parameters
    ----------
    label : str
        One of ``medembed.notes.FINDINGS``, or ``"other"`` for what is no finding of them.
    side : {"left", "right", "bilateral", ""}
        The patient's side.
    place : str
        Lobe, rib or position in words, side left out; may be empty.
    degree : {"mild", "moderate", "severe"}
    size : float
        Diameter, depth, rim or step in mm, as the label has it; the cardiothoracic ratio for
        cardiomegaly; 0 where none fits.
    kind : str
        Kind of device, pattern of atelectasis, and so on.
    spot : tuple of float
        Place in fractions of the lung: across (away from the midline), back, down from the apex.
    ribs : tuple of int
        Broken ribs; 0 is the clavicle.
    seed : int
        Of the finding's own irregularities, kept from study to study.
    """

    label: str
    side: str = ""
    place: str = ""
    degree: str = "moderate"
    size: float = 0.0
    kind: str = ""
    spot: tuple[float, float, float] = (0.0, 0.0, 0.5)
    ribs: tuple[int, ...] = ()
    seed: int = 0

    @property
    def sides(self) -> tuple[int, ...]:
        """-1 for right, 1 for left, both for bilateral."""
        return {"right": (RIGHT,), "left": (LEFT,), "bilateral": (RIGHT, LEFT)}.get(self.side, ())

    @property
    def grade(self) -> int:
        """0 mild, 1 moderate, 2 severe."""
        return ("mild", "moderate", "severe").index(self.degree)
