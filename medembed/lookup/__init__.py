"""Search for past cases similar to a scan, a text or a case: :class:`CaseLookup`."""

from medembed.lookup.case_lookup import CaseLookup
from medembed.lookup.given import ImageQuery
from medembed.lookup.query import Where
from medembed.lookup.result import LookupHit, Result

__all__ = ["CaseLookup", "ImageQuery", "LookupHit", "Result", "Where"]
