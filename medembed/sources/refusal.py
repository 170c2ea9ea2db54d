"""Refusals of files, rows and cases."""

from __future__ import annotations

from dataclasses import dataclass

from medembed.errors import InputError

__all__ = ["CellError", "Refusal"]


@dataclass(frozen=True)
class Refusal:
    """A file, row or case that was not ingested, and why.

    Parameters
    ----------
    where : str
        Path relative to the source with identifying parts hidden, row of a table, or case id.
    reason : str
        One clause for the user; never a patient's value.
    code : str
        For programs: ``"truncated"``, ``"wrong-patient"``, …
    """

    where: str
    reason: str
    code: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", " ".join(self.reason.split()))


class CellError(InputError):
    """A cell of a table is not valid; the row is refused.

    Parameters
    ----------
    reason : str
    code : str
        As in :class:`Refusal`.
    """

    def __init__(self, reason: str, code: str) -> None:
        super().__init__(reason)
        self.code = code
