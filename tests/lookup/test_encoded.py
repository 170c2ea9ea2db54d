"""What a reader asked before is not encoded again."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from lookup.known_library import FINGERPRINT, Oracle, vector

from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup, EncodedParts
from medembed.scans import Scan


class Counting(Oracle):
    """Counts what it encodes."""

    n = 0

    def encode_notes(self, texts: list[str]) -> np.ndarray:
        self.n += len(texts)
        return super().encode_notes(texts)

    def encode_scans(self, scans: list[Scan]) -> np.ndarray:
        self.n += len(scans)
        return super().encode_scans(scans)


def flat(value: int) -> Scan:
    return Scan(np.full((4, 4), value, dtype=np.float32))


def found(result: object) -> list[tuple[str, float]]:
    return [(hit.case_id, hit.score) for hit in result]  # type: ignore[attr-defined]


def test_another_filter_encodes_nothing_and_answers_the_same(library: CaseLibrary) -> None:
    model, scan, kept = Counting(), flat(77), EncodedParts()
    lookup = CaseLookup(library, model)
    ask = {"text": "effusion without pneumothorax", "image": scan}
    first = lookup.search(**ask, encoded=kept)
    encoded = model.n
    assert encoded == 3, "the words affirmed, the words denied, and the image"
    for where in (["age>=30"], ["age>=40"], ["modality=CR", "age<=70"], []):
        with_memory = lookup.search(**ask, where=where, encoded=kept)
        assert model.n == encoded
        without = lookup.search(**ask, where=where)
        assert model.n == 2 * encoded
        model.n = encoded
        assert found(with_memory) == found(without)
    assert found(lookup.search(**ask, encoded=kept)) == found(first)
    lookup.search(**ask, like=["case-3"], unlike=["case-5"], k=20, encoded=kept)
    lookup.search(**ask, weights={"text": 0.2, "image": 0.8}, per_patient=True, encoded=kept)
    assert model.n == encoded


def test_other_words_another_image_and_another_model_are_encoded(library: CaseLibrary) -> None:
    kept, scan = EncodedParts(), flat(77)
    model = Counting()
    lookup = CaseLookup(library, model)
    lookup.search(image=scan, encoded=kept)
    lookup.search(image=flat(77), encoded=kept)  # another object: whose it is, nobody knows
    lookup.search(text="effusion", encoded=kept)
    lookup.search(text="no effusion", encoded=kept)
    assert model.n == kept.n_encoded == 4
    other = Counting("b" * 64)
    names = [f"case-{i}" for i in range(40)]
    library.put_vectors(other.fingerprint, "image", names, np.stack([vector(i) for i in range(40)]))
    CaseLookup(library, other).search(image=scan, encoded=kept)
    assert other.n == 1


def test_the_vector_of_an_image_goes_with_the_image() -> None:
    kept, scan = EncodedParts(), flat(1)
    kept.of_scan(scan, (FINGERPRINT, ""), lambda: vector(1))
    assert len(kept._scans) == 1
    del scan
    gc.collect()
    assert len(kept._scans) == 0


def test_texts_are_bounded_and_the_latest_stay() -> None:
    kept = EncodedParts()
    for number in range(200):
        kept.of_text((FINGERPRINT, str(number), ""), lambda: vector(1))
        kept.of_text((FINGERPRINT, "0", ""), lambda: vector(1))
    assert kept.n_encoded == 200
    assert len(kept._texts) <= 64


def test_what_was_cleared_is_encoded_again() -> None:
    kept, scan = EncodedParts(), flat(1)
    for _ in range(2):
        kept.of_scan(scan, (FINGERPRINT, ""), lambda: vector(1))
        kept.of_text((FINGERPRINT, "a", ""), lambda: vector(1))
        kept.clear()
    assert kept.n_encoded == 4


def test_a_region_of_an_image_is_not_the_image() -> None:
    kept, scan = EncodedParts(), flat(1)
    whole = kept.of_scan(scan, (FINGERPRINT, ""), lambda: vector(1))
    part = kept.of_scan(scan, (FINGERPRINT, "0,0,1,0.5"), lambda: vector(2))
    assert whole != pytest.approx(part)
