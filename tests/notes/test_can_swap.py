"""An image may be mirrored only with a report whose sides all turn with it."""

from __future__ import annotations

import pytest

from medembed.notes import can_swap_laterality, swap_laterality

TURNED = [
    ("R pleural effusion", "L pleural effusion"),
    ("Rt pleural effusion, lt base clear", "Lt pleural effusion, rt base clear"),
    ("(R) effusion, (L) nodule", "(L) effusion, (R) nodule"),
    ("RT. LUNG", "LT. LUNG"),
    ("R>L effusions, RUL nodule", "L>R effusions, LUL nodule"),
    ("Pleuraerguss rechts", "Pleuraerguss links"),
    ("rechtsseitiger Erguss, linker Unterlappen", "linksseitiger Erguss, rechter Unterlappen"),
    ("derrame pleural derecho", "derrame pleural izquierdo"),
    ("opacidad en base izquierda", "opacidad en base derecha"),
    ("atelectasia izda.", "atelectasia dcha."),
    ("Left effusion. 2 L of oxygen, L spine, L4-5", "Right effusion. 2 L of oxygen, L spine, L4-5"),
    ("Bilateral effusions, clear lungs, r/o pneumonia", None),
    ("Effusion on the right. Heart is normal.", "Effusion on the left. Heart is normal."),
]

LEFT_AS_THEY_ARE = [
    "RML collapse",
    "consolidation of the right middle lobe",
    "lingular atelectasis, lingula",
    "left-to-right shunt",
    "Left ventricular hypertrophy",
    "Lt. ventricle dilated",
    "right atrium",
    "r effusion",
    "l base clear",
    "R-PTX",
    "épanchement gauche",
    "poumon droit libre",
    "Erguss re. basal",
    "li basal",
    "opacidad izq. basal",
    "Dextroscoliosis",
    "rechtsventrikulär",
    "płyn po stronie lewej",
    "плевральный выпот слева",
    "右胸水",
]


@pytest.mark.parametrize(("text", "mirrored"), TURNED)
def test_a_text_that_turns_as_a_whole_may_be_mirrored(text: str, mirrored: str | None) -> None:
    assert can_swap_laterality(text)
    assert swap_laterality(text) == (mirrored or text)
    assert swap_laterality(swap_laterality(text)) == text
    assert can_swap_laterality(swap_laterality(text))


@pytest.mark.parametrize("text", LEFT_AS_THEY_ARE)
def test_a_text_with_a_side_that_stays_is_not_mirrored(text: str) -> None:
    assert not can_swap_laterality(text)
    assert not can_swap_laterality(f"Right effusion. {text}")
