from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from medembed.notes.language import detect

SENTENCES: dict[str, list[str]] = yaml.safe_load(
    (Path(__file__).parent / "languages.yaml").read_text(encoding="utf-8")
)
FOREIGN = [text for language, texts in SENTENCES.items() if language != "en" for text in texts]
# Deny or doubt what an English reading would find: to take one of these for English is the harm.
DENIALS = (
    "kein", "ohne", "nicht", "pas", "absence", "aucun", "aucune", "nessun", "sans", "sin", "no se",
    "geen", "assenza", "senza", "sem", "ausência", "não", "bez", "brak", "nie", "ingen", "inget",
    "inga", "ej", "utan", "yok", "saptanmadı", "görülmedi", "izlenmedi",
)  # fmt: skip


def test_there_are_enough_sentences_of_each_language() -> None:
    assert len(SENTENCES) >= 10
    assert min(map(len, SENTENCES.values())) >= 15


@pytest.mark.parametrize("text", SENTENCES["en"])
def test_no_english_sentence_is_called_foreign(text: str) -> None:
    assert detect(text) in ("en", "")
    assert detect(text.upper()) in ("en", "")


@pytest.mark.parametrize(
    "text", [t for t in FOREIGN if any(w in t.lower().split() or t.lower().startswith(w + " ")
                                       for w in DENIALS)]
)  # fmt: skip
def test_n12_a_foreign_denial_is_never_taken_for_english(text: str) -> None:
    assert detect(text) not in ("en", "")


def test_nearly_every_foreign_sentence_is_called_foreign() -> None:
    wrong = [text for text in FOREIGN if detect(text) in ("en", "")]
    assert len(wrong) <= 0.06 * len(FOREIGN), wrong


def test_the_language_itself_is_mostly_right() -> None:
    named = [
        detect(text) == language
        for language, texts in SENTENCES.items()
        if language != "en"
        for text in texts
    ]
    assert sum(named) >= 0.9 * len(named)


@pytest.mark.parametrize("text", ["", " ", "123", "8 mm", "PTX", "Pneumothorax.", "\u2028", "?!"])
def test_what_has_no_language_has_none(text: str) -> None:
    assert detect(text) == ""


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Пневмоторакс не выявлен. Pneumothorax.", "ru"),
        ("未见气胸。", "zh"),
        ("Žádný pneumothorax, žádná fraktura.", "cs"),
        ("Ei pneumothoraxia. Sydän normaali.", "fi"),
        ("気胸は認めません。", "ja"),
        ("Δεν παρατηρείται πνευμοθώρακας.", "el"),
        ("Ei ilmarintaa eikä pleuranestettä. Sydän on normaalikokoinen.", "fi"),
        ("Nincs pneumothorax, a szív nem nagyobb a szokottnál.", "hu"),
    ],
)
def test_other_scripts_and_languages_without_a_word_list_are_foreign(
    text: str, language: str
) -> None:
    assert detect(text) == language


def test_english_headings_do_not_make_a_foreign_report_english() -> None:
    assert detect("FINDINGS: Kein Pneumothorax.\nIMPRESSION: Kein Erguss.") == "de"


def test_a_name_or_an_address_does_not_make_an_english_report_foreign() -> None:
    text = "Dr. von der Heide, Rue de la Gare. FINDINGS: The lungs are clear without effusion."
    assert detect(text) == "en"
