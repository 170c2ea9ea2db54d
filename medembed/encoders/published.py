"""A list of well-known encoders: where they are, what they are for, and under which license."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

__all__ = ["PublishedEncoder", "published_encoders"]


@dataclass(frozen=True)
class PublishedEncoder:
    """One well-known encoder; ``"not stated"`` where its authors say nothing.

    Parameters
    ----------
    name : str
    source : str
        Name on a hub, or where it is published.
    sides : tuple of str
        ``"image"``, ``"text"`` or both.
    network, parameters, trained_on : str
    code_license, weights_license : str
        SPDX identifiers where there is one.
    purpose : str
        What it is for.
    use : str
        Keys of a configuration; empty if it cannot be loaded.
    remark : str
    """

    name: str
    source: str
    sides: tuple[str, ...]
    network: str
    parameters: str
    trained_on: str
    code_license: str
    weights_license: str
    purpose: str
    use: str
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return {**asdict(self), "sides": list(self.sides)}


@cache
def published_encoders() -> tuple[PublishedEncoder, ...]:
    """Read the list, which is a file of this package."""
    text = files("medembed.encoders").joinpath("published.yaml").read_text("utf-8")
    return tuple(
        PublishedEncoder(
            **{key: value for key, value in each.items() if key not in ("for", "sides")},
            sides=tuple(each["sides"]),
            purpose=each["for"],
        )
        for each in yaml.safe_load(text)
    )
