"""What is said of a file or a case that is not taken."""

from __future__ import annotations

from dataclasses import dataclass

from medembed.errors import InputError

__all__ = ["CellError", "Refusal"]


@dataclass(frozen=True)
class Refusal:
    """A file or a case that is not taken, and why.

    Parameters
    ----------
    where : str
        Path relative to the source with telling parts hidden, row of a table, or case id.
    reason : str
        One clause for a person; never a patient's value.
    code : str
        For machines: ``"truncated"``, ``"wrong-patient"``, …
    """

    where: str
    reason: str
    code: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", " ".join(self.reason.split()))


class CellError(InputError):
    """A cell of a table does not fit; it becomes the refusal of its row.

    Parameters
    ----------
    reason : str
    code : str
        As in :class:`Refusal`.
    """

    def __init__(self, reason: str, code: str) -> None:
        super().__init__(reason)
        self.code = code
