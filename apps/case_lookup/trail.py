"""The noun :class:`Trail`: the states that a reader's query went through, to undo and redo."""

from __future__ import annotations

from dataclasses import dataclass

from apps.case_lookup.query_state import QueryState

__all__ = ["Trail"]

_MOST = 100


@dataclass(frozen=True)
class Trail:
    """States of a query in their order, and which of them is the present one.

    The browser's Back and Forward lead along it, too: going to the state before the present one is
    an undo, however it was done.

    Parameters
    ----------
    states : tuple of QueryState
    at : int
    """

    states: tuple[QueryState, ...] = (QueryState(),)
    at: int = 0

    @property
    def can_undo(self) -> bool:
        """Whether there is a state before."""
        return self.at > 0

    @property
    def can_redo(self) -> bool:
        """Whether a state was undone."""
        return self.at + 1 < len(self.states)

    @property
    def before(self) -> QueryState:
        """The state that an undo leads to; the present one if there is none."""
        return self.states[max(self.at - 1, 0)]

    @property
    def after(self) -> QueryState:
        """The state that a redo leads to; the present one if there is none."""
        return self.states[min(self.at + 1, len(self.states) - 1)]

    def visit(self, state: QueryState) -> Trail:
        """Return the trail with this state as the present one.

        A neighbor is gone to; any other state is new, and what had been undone is forgotten.
        """
        if state == self.states[self.at]:
            return self
        if self.can_undo and state == self.before:
            return Trail(self.states, self.at - 1)
        if self.can_redo and state == self.after:
            return Trail(self.states, self.at + 1)
        kept = (*self.states[: self.at + 1], state)[-_MOST:]
        return Trail(kept, len(kept) - 1)
