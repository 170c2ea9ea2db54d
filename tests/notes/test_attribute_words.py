"""Words of a query that name modality, view, body part, sex or age, and words that do not."""

from __future__ import annotations

import pytest

from medembed.notes.attribute_words import attribute_words


def read(text: str) -> dict[str, str]:
    return {words.kind: words.value for words in attribute_words(text)}


@pytest.mark.parametrize(
    "text",
    [
        "lateral chest radiograph of a 60-year-old woman",
        "seitliche Röntgenaufnahme Thorax, 60-jährige Patientin",
        "radiografía lateral de tórax de una mujer de 60 años",
    ],
)
def test_three_languages_name_the_same_attributes(text: str) -> None:
    assert read(text) == {
        "modality": "radiograph",
        "view": "LATERAL",
        "body part": "chest",
        "sex": "F",
        "age": "60",
    }


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("CT with a nodule", {"modality": "CT"}),
        ("PA view, male, in his 70s", {"view": "PA", "sex": "M", "age": "70s"}),
        ("effusion, elderly man", {"sex": "M", "age": "old"}),
        ("effusion, AP", {"view": "AP"}),
    ],
)
def test_attributes_stand_beside_findings(text: str, attributes: dict[str, str]) -> None:
    assert read(text) == attributes


@pytest.mark.parametrize(
    "text",
    [
        "bilateral effusions",
        "PA catheter",
        "enlarged PA",
        "effusion, compared with CT",
        "not CT",
        "fracture of the lateral rib",
        "man or woman",
        "CT or MRI",
        "60 mm nodule",
        "effusion 300-year-old",
    ],
)
def test_other_uses_and_contradictions_name_nothing(text: str) -> None:
    assert not set(read(text)) & {"modality", "view", "sex", "age"}
