"""The noun :class:`SearchQuery`: what a client may ask, checked before anything is computed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from apps.service.problems import Problem, ProblemKind, invalid
from apps.service.settings import ServiceSettings

__all__ = ["SearchQuery", "read_query"]

Text = Annotated[str, Field(max_length=20_000)]
CaseId = Annotated[str, Field(min_length=1, max_length=200)]
Region = Annotated[str, Field(max_length=200)]
Condition = Annotated[str, Field(max_length=20_000)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class SearchQuery(BaseModel):
    """A search: the options of ``medembed search`` under their names there.

    Give at least one of text, case, image (as an upload) and like.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    text: Text | Annotated[list[Text], Field(max_length=20)] | None = Field(
        None, description="Words, a sentence or a whole report; or several of them."
    )
    case: CaseId | Annotated[list[CaseId], Field(max_length=20)] | None = Field(
        None, description="Id of a case of the library, whose image is the query; or several."
    )
    vector: Annotated[list[Number], Field(min_length=1, max_length=65_536)] | None = Field(
        None,
        description="A vector made by the same model. Refused unless the service was started with "
        "--accept-vectors: scores of vectors of one's own choice give away those of the cases.",
    )
    weights: Annotated[dict[str, Number], Field(max_length=20)] | None = Field(
        None, description="One for each part: text, text2, image, case, … Default: equal."
    )
    where: Annotated[list[Condition], Field(max_length=50)] = Field(
        [], description="Conditions that all hold: sex=F, age>=60, view in PA,AP."
    )
    region: Region | Annotated[dict[str, Region], Field(max_length=20)] | None = Field(
        None,
        description="Search by this box of the image or case: top,left,bottom,right as fractions "
        "of the image; in a volume also slice=30, in a case of several images image=2. Several "
        "by part: image, image2, case, …",
    )
    k: Annotated[int, Field(ge=1)] = Field(10, description="Maximum number of hits.")
    against: Literal["scans", "notes", "both"] = Field(
        "scans", description="Compare with the cases' images, their notes, or both."
    )
    like: Annotated[list[CaseId], Field(max_length=100)] = Field(
        [], description="Cases that the hits should resemble."
    )
    unlike: Annotated[list[CaseId], Field(max_length=100)] = Field(
        [], description="Cases that the hits should not resemble."
    )
    literal: bool = Field(
        False, description="Compare the text as written: read nothing in it, match no words."
    )
    per_patient: bool = Field(
        False, description="List only the best case of each patient; k counts patients."
    )
    diversity: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Prefer hits that differ from each other, as 0.3."
    )
    bm25: bool = Field(True, description="Whether the words of the text count in the notes.")
    ignore: Annotated[list[Text], Field(max_length=100)] = Field(
        [], description="Terms of the text that do not count, by their name in read_as."
    )
    rerank: bool | None = Field(
        None,
        description="Whether the first 50 hits are read together with the text and reordered. "
        "Default: as the model says.",
    )
    why: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Also explain the hit of this rank. Takes some seconds."
    )

    @property
    def named_cases(self) -> list[str]:
        """The cases that the query names."""
        cases = [self.case] if isinstance(self.case, str) else self.case or []
        return [*cases, *self.like, *self.unlike]

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of :meth:`medembed.lookup.CaseLookup.search` but where and image."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        for name in ("where", "why"):
            del given[name]
        for name in ("text", "case", "like", "unlike"):  # as the command line has it
            given[name] = given[name] or None
        return given

    def kind(self, images: int = 0) -> str:
        """Name the parts of the query, for metrics and journal: ``"text+image"``."""
        parts = {
            "text": self.text,
            "image": images,
            "case": self.case,
            "vector": self.vector,
            "like": self.like or self.unlike,
        }
        return "+".join(name for name, given in parts.items() if given) or "nothing"


def read_query(raw: bytes, settings: ServiceSettings) -> SearchQuery:
    """Read a query from JSON.

    Raises
    ------
    Problem
        BAD_REQUEST if it is no JSON, INVALID if it does not fit or asks for too much.
    """
    try:
        query = SearchQuery.model_validate_json(raw)
    except ValidationError as error:
        raise invalid(error) from None
    if query.k > settings.max_k:
        raise Problem(ProblemKind.INVALID, f"k: this service gives at most {settings.max_k} hits")
    if query.vector is not None and not settings.accept_vectors:
        raise Problem(
            ProblemKind.FORBIDDEN,
            "vector: this service takes no vectors; start it with --accept-vectors if its users "
            "may work out those of the cases",
        )
    return query
