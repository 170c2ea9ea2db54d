"""The noun :class:`Lesion`: the ground truth of one finding."""

from __future__ import annotations

from dataclasses import dataclass

from medembed.sources.synthetic.body import LEFT, RIGHT

__all__ = ["Lesion"]


@dataclass(frozen=True)
class Lesion:
    """Ground truth of one finding, from which image and report are made.

    Parameters
    ----------
    label : str
        One of ``medembed.notes.FINDINGS``, or ``"other"``.
    side : {"left", "right", "bilateral", ""}
        The patient's side.
    place : str
        Lobe, rib or position in words, without the side; may be empty.
    degree : {"mild", "moderate", "severe"}
    size : float
        Diameter, depth, rim or step in mm, depending on the label; the cardiothoracic ratio for
        cardiomegaly; 0 if none applies.
    kind : str
        Kind of device, pattern of atelectasis, and so on.
    spot : tuple of float
        Position in fractions of the lung: across (away from the midline), back, down from the apex.
    ribs : tuple of int
        Broken ribs; 0 is the clavicle.
    seed : int
        Seed of the finding's irregularities, the same in all studies.
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
