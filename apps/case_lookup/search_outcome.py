"""The noun :class:`SearchOutcome`: a request with its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.case_lookup.search_request import SearchRequest

if TYPE_CHECKING:
    from medembed.lookup import Result

__all__ = ["SearchOutcome"]


@dataclass(frozen=True)
class SearchOutcome:
    """A request with its result, kept while the visitor looks at a case.

    Parameters
    ----------
    request : SearchRequest
    result : Result
    seconds : float
        How long the search took.
    """

    request: SearchRequest
    result: Result
    seconds: float
