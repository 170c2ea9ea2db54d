"""Search for past cases similar to a scan, a text or a case: :class:`CaseLookup`."""

from medembed.lookup.active_lookup import ActiveLookup
from medembed.lookup.case_lookup import CaseLookup
from medembed.lookup.encoded import EncodedParts
from medembed.lookup.given import ImageQuery
from medembed.lookup.marked_region import Region
from medembed.lookup.query import Where
from medembed.lookup.result import LookupHit, Result

__all__ = [
    "ActiveLookup",
    "CaseLookup",
    "EncodedParts",
    "ImageQuery",
    "LookupHit",
    "Region",
    "Result",
    "Where",
]
