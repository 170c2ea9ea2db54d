from __future__ import annotations

import base64
import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.errors import InputError
from medembed.privacy import PathMask, Pseudonymizer, name_tokens, new_key

NAMES = Pseudonymizer(bytes(range(32)))


def test_a_pseudonym_is_the_keyed_hash_of_rfc_2104() -> None:
    parts = [b"patient", b"site", b"4711"]
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    digest = hmac.new(bytes(range(32)), message, hashlib.sha256).digest()
    assert NAMES.patient("4711", "site") == "P-" + base64.b32encode(digest).decode()[:20]


def test_the_same_identifier_is_the_same_pseudonym_in_one_library_only() -> None:
    assert NAMES.patient("4711") == NAMES.patient(" 4711 ")
    assert NAMES.patient("4711") != Pseudonymizer(new_key()).patient("4711")


def test_purposes_and_issuers_are_kept_apart() -> None:
    ids = [NAMES.patient("1"), NAMES.patient("1", "A"), NAMES.patient("1", "B"),
           NAMES.study("1"), NAMES.group("1")]  # fmt: skip
    assert len({name[2:] for name in ids}) == 5


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_no_two_identifiers_run_together(one: tuple[str, str], other: tuple[str, str]) -> None:
    from unicodedata import normalize

    same = [normalize("NFC", part) for part in one] == [normalize("NFC", part) for part in other]
    assert (NAMES.digest("x", *one) == NAMES.digest("x", *other)) == same


def test_a_pseudonym_shows_nothing_of_the_identifier_or_key() -> None:
    assert re.fullmatch(r"P-[A-Z2-7]{20}", NAMES.patient("DOE"))
    assert "key" not in repr(NAMES)
    with pytest.raises(InputError):
        Pseudonymizer(b"short")
    with pytest.raises(InputError):
        NAMES.patient("  ")


def test_dates_shift_by_up_to_half_a_year_and_alike_for_a_patient() -> None:
    shifts = [NAMES.shift_days(str(i)) for i in range(5000)]
    assert (min(shifts), max(shifts)) == (-182, 182)
    assert abs(sum(shifts) / len(shifts)) < 5  # four standard errors of a uniform mean are 6
    assert NAMES.shift_days("7") == NAMES.shift_days("7 ")


def test_fractions_look_uniform() -> None:
    fractions = [NAMES.fraction("split", str(i)) for i in range(5000)]
    assert min(fractions) >= 0
    assert max(fractions) < 1
    assert abs(sum(fractions) / 5000 - 0.5) < 0.017


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("DOE^JANE/1.dcm", "…/1.dcm"),
        ("archive/Jane Doe/CT 1/0001.dcm", "archive/…/CT 1/0001.dcm"),
        ("archive/janedoe2020/0001.dcm", "archive/…/0001.dcm"),
        ("archive/MRN-4711.dcm", "archive/…"),
        ("Döe/a.dcm", "…/a.dcm"),
        ("Smith, John/a.dcm", "…/a.dcm"),
        ("clean/a\nb.dcm", "clean/a�b.dcm"),
    ],
)
def test_parts_of_a_path_that_name_the_patient_are_hidden(path: str, shown: str) -> None:
    assert PathMask()(path, name_tokens("Doe^Jane", "4711")) == shown


def test_names_of_other_headers_are_hidden_as_whole_words() -> None:
    mask = PathMask()
    mask.add(name_tokens("LI^ANNE"))
    assert mask("li/clinic/anne.dcm") == "…/clinic/…"
    assert mask.hides("x/Li_1.dcm")
    assert not mask.hides("clinic/liver.dcm")
