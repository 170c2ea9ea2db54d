"""The list of well-known encoders is complete, and what it says to use exists."""

from __future__ import annotations

import re

from medembed.encoders import IMAGE_ENCODERS, TEXT_ENCODERS
from medembed.encoders.published import published_encoders


def test_every_encoder_states_its_licenses_or_that_they_are_not_stated() -> None:
    entries = published_encoders()
    assert len({each.name for each in entries}) == len(entries) >= 20
    for each in entries:
        for value in (each.source, each.network, each.parameters, each.trained_on, each.purpose):
            assert value, each.name
        assert each.code_license, each.name
        assert each.weights_license, each.name
        assert set(each.sides) <= {"image", "text"}, each.name
        assert each.use or each.remark, f"{each.name}: why it does not load"


def test_what_the_list_says_to_use_is_a_registered_encoder() -> None:
    for each in published_encoders():
        found = re.findall(r"(image|text)\.encoder: ([\w-]+)", each.use)
        assert {side for side, _ in found} == (set(each.sides) if each.use else set()), each.name
        for side, name in found:
            assert name in (IMAGE_ENCODERS if side == "image" else TEXT_ENCODERS)
