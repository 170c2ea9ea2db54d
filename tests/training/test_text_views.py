"""What training reads of a report is what the report says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medembed.model.report_text import note_text, sentences
from medembed.notes import FINDINGS, read_note, swap_laterality
from medembed.training.augment import augment
from medembed.training.prompts import PhraseBook
from medembed.training.settings import ImageAugmentation, TextAugmentation
from medembed.training.text_views import ReportTexts, TextView, false_negative_mask, other_side

REPORT = (
    "INDICATION: Cough.\nCOMPARISON: None.\n"
    "FINDINGS: There is a large right pleural effusion. A nodule of 1.5 cm lies in the left upper "
    "lobe. No pneumothorax.\nIMPRESSION: Right effusion and left nodule."
)


def test_impression_comes_first_and_the_history_is_not_read() -> None:
    text = note_text(read_note(REPORT))
    assert text.startswith("Right effusion and left nodule.")
    assert "large right pleural effusion" in text
    assert "Cough" not in text


def test_a_note_without_sections_is_read_whole() -> None:
    assert note_text(read_note("Right effusion, small.")) == "Right effusion, small."


def test_sentences_are_cut_at_full_stops_but_not_inside_numbers() -> None:
    note = read_note(REPORT)
    found = [note.text[start:end] for start, end in sentences(note)]
    assert "A nodule of 1.5 cm lies in the left upper lobe." in found
    assert "No pneumothorax." in found


def test_some_sentences_assert_only_what_they_say() -> None:
    report = ReportTexts(read_note(REPORT))
    assert report.present >= {("effusion", "right"), ("nodule", "left"), ("effusion", "")}
    settings = TextAugmentation(sentences=1.0, phrases=0.0)
    seen = set()
    for seed in range(60):
        view = report.draw(settings, np.random.default_rng(seed))
        seen.add(view.text)
        assert (("effusion", "right") in view.labels) == ("effusion" in view.text)
        assert (("nodule", "left") in view.labels) == ("nodule" in view.text.lower())
    assert len(seen) > 5


def test_phrases_are_short_sided_and_true() -> None:
    report = ReportTexts(read_note(REPORT))
    settings = TextAugmentation(sentences=0.0, phrases=1.0)
    drawn = {report.draw(settings, np.random.default_rng(seed)).text for seed in range(60)}
    assert "right effusion" in drawn
    assert "left nodule" in drawn
    assert not any("pneumothorax" in text for text in drawn)


def test_a_report_without_findings_offers_no_phrase() -> None:
    report = ReportTexts(read_note("FINDINGS: No pleural effusion. Clear lungs."))
    view = report.draw(TextAugmentation(sentences=0, phrases=1.0), np.random.default_rng(0))
    assert not view.is_phrase
    assert not view.labels


def test_mirroring_swaps_words_and_labels_and_twice_is_nothing() -> None:
    view = ReportTexts(read_note(REPORT)).full
    turned = view.mirrored(swap_laterality)
    assert "large left pleural effusion" in turned.text
    assert ("effusion", "left") in turned.labels
    assert turned.mirrored(swap_laterality) == view
    assert other_side(("edema", "")) == ("edema", "")


def test_the_phrase_book_names_each_finding_on_its_side_in_the_reports_words() -> None:
    labels = [("effusion", ""), ("effusion", "left"), ("effusion", "right"), ("mass", "left")]
    book = PhraseBook([ReportTexts(read_note(REPORT))], labels)
    drawn = {tuple(book.draw(np.random.default_rng(seed))) for seed in range(40)}
    any_side, left, right, mass = (set(column) for column in zip(*drawn, strict=True))
    assert any_side == {"effusion"}
    assert left == {"left effusion"}
    assert right >= {"right effusion", "right pleural effusion"}
    assert mass == {"left mass"}


def test_a_phrase_is_true_of_every_image_whose_report_states_it() -> None:
    right = frozenset({("effusion", ""), ("effusion", "right")})
    left = frozenset({("effusion", ""), ("effusion", "left")})
    views = [
        TextView("right effusion", right, is_phrase=True),
        TextView("A long report.", right),
        TextView("a  LONG report.", frozenset()),
        TextView("Another.", left),
    ]
    same = false_negative_mask(views, [right, right, frozenset(), left])
    wanted = np.eye(4, dtype=bool)
    wanted[1, 0] = True  # the second image has a right effusion too
    wanted[1, 2] = wanted[2, 1] = True  # the same words
    assert np.array_equal(same, wanted)


STILL = ImageAugmentation(
    rotate_degrees=0, scale=0, shift=0, contrast=0, brightness=0, noise=0, mirror=0
)


@pytest.mark.parametrize("shape", [(2, 1, 6, 8), (2, 1, 4, 6, 8)])
def test_only_the_chosen_images_are_mirrored(shape: tuple[int, ...]) -> None:
    images = torch.rand(shape)
    out = augment(images, np.array([True, False]), STILL, np.random.default_rng(0))
    assert torch.equal(out[0], images[0].flip(-1))
    assert torch.equal(out[1], images[1])


def test_moving_mirrors_too_and_stays_in_range() -> None:
    images = torch.zeros(2, 1, 32, 32)
    images[:, :, :, 24:] = 1
    settings = ImageAugmentation(rotate_degrees=3, scale=0.02, shift=0.01)
    out = augment(images, np.array([True, False]), settings, np.random.default_rng(0))
    assert 0 <= float(out.min()) <= float(out.max()) <= 1
    assert out[0, 0, :, :6].mean() > 0.6 > 0.4 > out[1, 0, :, :6].mean()


def test_the_same_seed_changes_images_the_same_way() -> None:
    images = torch.rand(3, 1, 16, 16)
    settings = ImageAugmentation()
    first, second = (
        augment(images, np.zeros(3, bool), settings, np.random.default_rng(5)) for _ in range(2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, images)


def test_findings_beyond_the_core_ones_are_learnt_from_only_where_asked_for() -> None:
    note = read_note("FINDINGS: Small right effusion. There is scoliosis.")
    assert ("scoliosis", "") in ReportTexts(note).present
    assert ReportTexts(note, FINDINGS).present == {("effusion", ""), ("effusion", "right")}
    assert not any("scoliosis" in text.text for text in ReportTexts(note, FINDINGS).phrases)
