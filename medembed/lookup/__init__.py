"""Search for past cases similar to a scan, a text or a case: :class:`CaseLookup`."""

from medembed.lookup.case_lookup import CaseLookup
from medembed.lookup.query import ImageQuery, Where
from medembed.lookup.result import LookupHit, Result

__all__ = ["CaseLookup", "ImageQuery", "LookupHit", "Result", "Where"]
