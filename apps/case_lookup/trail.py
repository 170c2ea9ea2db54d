"""The noun :class:`Trail`: the states that a reader's query went through, to undo and redo."""

from __future__ import annotations

from dataclasses import dataclass

from apps.case_lookup.query_state import QueryState

__all__ = ["Trail"]

_MOST = 100


@dataclass(frozen=True)
class Trail:
    """States of a query in their order, and which of them is the present one.

    Parameters
    ----------
    states : tuple of QueryState
    at : int
    """

    states: tuple[QueryState, ...] = (QueryState(),)
    at: int = 0

    @property
    def present(self) -> QueryState:
        """The present state."""
        return self.states[self.at]

    @property
    def can_undo(self) -> bool:
        """Whether there is a state before."""
        return self.at > 0

    @property
    def can_redo(self) -> bool:
        """Whether a state was undone."""
        return self.at + 1 < len(self.states)

    def undone(self) -> Trail:
        """Return the trail one step back."""
        return Trail(self.states, max(self.at - 1, 0))

    def redone(self) -> Trail:
        """Return the trail one step forth."""
        return Trail(self.states, min(self.at + 1, len(self.states) - 1))

    def visit(self, state: QueryState) -> Trail:
        """Return the trail with a new state; what had been undone is forgotten.

        The present state again is no step.
        """
        if state == self.present:
            return self
        kept = (*self.states[: self.at + 1], state)[-_MOST:]
        return Trail(kept, len(kept) - 1)

    def go_to(self, state: QueryState) -> Trail:
        """Return the trail at a state that the browser went to, by Back, Forward or a link.

        It is one of the trail, the nearest of equal ones, or a new one.
        """
        same = [at for at, one in enumerate(self.states) if one == state]
        if not same:
            return self.visit(state)
        return Trail(self.states, min(same, key=lambda at: abs(at - self.at)))
