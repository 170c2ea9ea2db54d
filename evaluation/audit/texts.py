"""What stands beside a verdict and in the answer of a release check, and its words."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["GATE_REASONS", "Flag", "GateReason"]


class Flag(StrEnum):
    """What a reader has to see beside a verdict; the words are in the report's catalog."""

    HETEROGENEOUS = "heterogeneous"
    MISSING_COULD_MATTER = "missing_could_matter"
    RARE_HARM = "rare_harm"


class GateReason(StrEnum):
    """Why a release check does not pass; the words are in :data:`GATE_REASONS`."""

    EXCEEDS = "exceeds"
    DIFFERS = "differs"
    NOT_SHOWN_WITHIN = "not_shown_within"
    NOT_ASSESSABLE = "not_assessable"
    HETEROGENEOUS = "heterogeneous"
    NOT_MEASURED = "not_measured"
    NOTHING_NAMED = "nothing_named"


GATE_REASONS: dict[GateReason, str] = {
    GateReason.EXCEEDS: "{name}: exceeds the margin ({reason})",
    GateReason.DIFFERS: "{name}: a gap is established ({reason})",
    GateReason.NOT_SHOWN_WITHIN: "{name}: primary question, not shown to be within the margin "
    "({reason})",
    GateReason.NOT_ASSESSABLE: "{name}: primary question, not assessable ({reason})",
    GateReason.HETEROGENEOUS: "{name}: primary question, and the gap is not the same in all strata",
    GateReason.NOT_MEASURED: "{outcome}: primary question, not assessable ({reason})",
    GateReason.NOTHING_NAMED: "the protocol declares no primary question",
}
