"""The noun :class:`SearchRequest`: a query's state together with what its tokens stand for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.case_lookup.query_state import QueryState
from medembed.library import Condition
from medembed.scans import Scan

if TYPE_CHECKING:
    from apps.case_lookup.dropped import DroppedImage
    from medembed.lookup import EncodedParts

__all__ = ["SearchRequest"]


@dataclass(frozen=True)
class SearchRequest:
    """A query with its filters, as it is searched with.

    Parameters
    ----------
    text : str
        May be empty.
    scan : Scan or None
    dropped : tuple of str
        What the scan was read from: equal for the same image.
    case_id : str
        A case of the library as the query; may be empty.
    image_weight : float
        From 0 to 1; used if both a text and an image (or case) are given.
    where : tuple of Condition
        All must hold.
    own_cases, own_patients : tuple of str
        Cases that hold the dropped image, and the pseudonyms of its patients; neither may be among
        the results.
    k : int
    ignore : tuple of str
        Terms of the text that do not count.
    like, unlike : tuple of str
        Cases marked as more or less like what is sought.
    region : str
        Part of the image (or case) that counts; empty for the whole.
    one_per_patient : bool
    is_incomplete : bool
        Whether an image or words of the query are gone, so that it cannot be searched with.
    encoded : EncodedParts or None
        What was encoded for this reader before.
    """

    text: str = ""
    scan: Scan | None = None
    dropped: tuple[str, ...] = ()
    case_id: str = ""
    image_weight: float = 0.5
    where: tuple[Condition, ...] = ()
    own_cases: tuple[str, ...] = ()
    own_patients: tuple[str, ...] = ()
    k: int = 10
    ignore: tuple[str, ...] = ()
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    region: str = ""
    one_per_patient: bool = False
    is_incomplete: bool = False
    encoded: EncodedParts | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls, state: QueryState, image: DroppedImage | None, encoded: EncodedParts | None = None
    ) -> SearchRequest:
        """Put a state and its image together.

        Parameters
        ----------
        state : QueryState
        image : DroppedImage or None
            What the state's token stands for; also if it was refused.
        encoded : EncodedParts, optional
        """
        scan = image.scan if image else None
        lacks_image, lacks_words = state.image and scan is None, state.typed and not state.words
        return cls(
            text=state.words,
            scan=scan,
            dropped=(state.image,) if scan is not None else (),
            case_id=state.similar,
            image_weight=state.share / 100,
            where=state.filters.conditions,
            own_cases=image.cases if image else (),
            own_patients=image.patients if image else (),
            k=state.k,
            ignore=state.leave,
            like=state.like,
            unlike=state.unlike,
            region=state.region,
            one_per_patient=state.one_per_patient,
            is_incomplete=bool(lacks_image or lacks_words),
            encoded=encoded,
        )

    @property
    def digest(self) -> str:
        """Equal for equal queries with equal filters, and only for those."""
        share = self.image_weight if self.is_mixed else None
        content = (
            *(self.text, self.dropped, self.case_id, share, self.where, self.k, self.ignore),
            *(self.like, self.unlike, self.region, self.one_per_patient),
        )
        return hashlib.sha256(repr(content).encode("utf-8", "backslashreplace")).hexdigest()[:16]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to search for."""
        return not (self.text or self.scan is not None or self.case_id or self.like)

    @property
    def is_mixed(self) -> bool:
        """Whether the query has a text and an image (or case)."""
        return bool(self.text) and (self.scan is not None or bool(self.case_id))
