"""Detection of the language of a report.

A general detector relies on letters and takes "Kein Pneumothorax" or "Cardiomegaly" for Latin. So
the function words of reports decide if there are any ("kein", "sans", "without"), and a detector
only otherwise, at a confidence at which it takes no English report for a foreign one. How often
either is wrong is in docs/results/notes.md.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

__all__ = ["detect"]

# A word counts two if no other language here has it, one if it is short or shared. Left out
# are words that English reports write as well: "LA" (left atrium), "DES" (stent), "ET" (tube),
# "IM" (nail), "die" (punch), "sin.", "con", "fossa ovalis et …".
_WORDS: dict[str, tuple[str, str]] = {
    "en": (
        "the of with without and there is are was were has have been seen shows showing this "
        "that these for from not left right upper lower lung lungs heart chest small mild "
        "moderate large stable unchanged evidence within both spine brain kidney liver tip "
        "above below w/o neg s/p h/o r/o clear enlarged acute unremarkable bone bones osseous "
        "line demonstrating demonstrates since placement view radiograph bowel gallbladder "
        "disease wall year old effusion cardiomegaly tumour tumor negative breast knee hip "
        "shoulder nodule nodules mass masses swelling bladder",
        "no on at to by in normal an or as size scan tube image patient",
    ),
    "de": (
        "kein keine keinen keiner keines ohne nicht und ist sind der bei nach beidseits bds "
        "regelrecht unauffällig unauffälliger zustand verdacht nachweis vergrößert pleuraerguss "
        "pleuraergüsse erguss herz oberlappen unterlappen mittellappen lappen rundherd fraktur "
        "bekannte bekannter bekanntes zum zur sich eine einer einem eines wurde frei "
        "kardiomegalie randwinkel skoliose aortensklerose hiatushernie atelektase atelektasen "
        "verschattung frakturen stauung emphysem perikarderguss hautemphysem thoraxdrainage "
        "linksseitig rechtsseitig linken rechten linkes rechtes unterlappens ausgedehnte "
        "kleiner großer größe befund beurteilung lungenemphysem v.a. z.n.",
        "den von rechts links für auf unverändert veränderungen infiltrat pneumonie mit das dem "
        "wie herd lunge",
    ),
    "fr": (
        "pas aucun aucune absence d'épanchement épanchement sans avec une sont gauche droit "
        "droite poumon poumons cœur cardiomégalie supérieur inférieur opacité montrant chez "
        "patiente examen lésion lésions normale épaule genou dans",
        "de le un ni par est les au aux du sur",
    ),
    "es": (
        "derrame neumotórax izquierdo izquierda derecho derecha lóbulo observa una pulmón "
        "pulmones corazón lesión nódulo sin costilla colecistitis consolidación cardiomegalia "
        "estudio ambas ambos enfisema atelectasia",
        "de en un para por se hay el los las y con del",
    ),
    "nl": (
        "geen een niet zonder aanwijzingen voor linker rechter vergroot beiderzijds onveranderd "
        "pleuravocht longen fractuur bekend er",
        "de op en in links rechts van ter hart klein het is of",
    ),
    "it": (
        "senza assenza versamento pleurico sinistro sinistra destra destro cuore ingrandito "
        "polmone polmoni polmonare lobo della alla nella frattura enfisema sede segni evidenti "
        "osserva invariato precedente nessun nessuna nessuno",
        "non del il un per e si di",
    ),
    "pt": (
        "sem não ausência esquerda esquerdo direita direito pulmão pulmões coração há uma à "
        "exame alterações fratura lesão pneumotórax",
        "da na em um os derrame nos nas do ao",
    ),
    "pl": (
        "brak bez nie cech stronie lewej prawej lewego prawego płuc płuca serce opłucnej "
        "opłucnowej odmy stwierdza się złamanie powiększone",
        "w z po oraz",
    ),
    "cs": (
        "žádný žádná žádné není bez pravé levé vpravo vlevo výpotek plic srdce zlomenina",
        "na je v",
    ),
    "sv": (
        "ingen inget inga utan och är på höger vänster hjärtat lungor lungorna lungan "
        "pleuravätska frakturer förstorat känd oförändrat misstänkt ej tecken övre nedre",
        "i till av som med",
    ),
    "da": (
        "ingen intet uden er på højre venstre hjertet lunger forstørret ikke",
        "i til af som",
    ),
    "tr": (
        "yok yoktur izlenmedi izlendi saptanmadı mevcut sağ akciğer efüzyon görülmedi iki "
        "plevral bulgusu kalp",
        "bir ile ve her sol",
    ),
}  # fmt: skip
_POINTS: dict[str, list[tuple[str, int]]] = {}
for _language, _pair in _WORDS.items():
    for _points, _words in zip((2, 1), _pair, strict=True):
        for _word in _words.split():
            _POINTS.setdefault(_word, []).append((_language, _points))
_TOKEN = re.compile(r"[^\W\d_]+(?:['’./][^\W\d_]+)*\.?")
_LATIN = re.compile(r"[a-zà-öø-ÿĀ-ɏ]")
_LETTER = re.compile(r"[^\W\d_]")
_KNOWN = (
    "en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "fi", "pl", "cs", "sk", "hu", "ro",
    "tr", "hr", "sl", "et", "lv", "lt", "ca", "el", "ru", "uk", "bg", "ar", "he", "fa", "zh", "ja",
    "ko", "id", "vi", "hi", "th",
)  # fmt: skip
_SURE = 0.85  # confidence below which a text does not count as foreign
_SURE_OF_FEW = 0.97  # the same for a few words of plain letters: "Kirschner wire"
_FEW_WORDS = 4
_FEW = 0.1  # points of English per word: fewer are chance
_HEAD = 6000  # characters to examine: a report rarely changes its language


def detect(text: str) -> str:
    """Detect the language of a report, or of a part of it.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        ISO 639-1, or ``""`` if undecidable ("Pneumothorax.").

    Examples
    --------
    >>> detect("Lungs clear w/o effusion."), detect("Kein Pneumothorax."), detect("Atelectasis")
    ('en', 'de', '')
    """
    head = text[:_HEAD]
    folded = head.lower()
    letters = len(_LETTER.findall(folded))
    if letters < 4:
        return ""
    if len(_LATIN.findall(folded)) < letters / 2:
        return _by_letters(folded)[0]
    shouted = sum(map(str.isupper, head)) > letters / 2
    tokens = _TOKEN.findall(head)
    points: Counter[str] = Counter()
    for written in tokens:
        token = written.lower()
        key = token if token in _POINTS else token.rstrip(".")
        capitals = written.isupper() and len(written) > 1 and not shouted
        for language, count in _POINTS.get(key, []):
            if language == "en" or not capitals:  # "LES", "NOS", "EST" are abbreviations
                points[language] += count
    english = points.pop("en", 0)
    (best, most), *others = points.most_common(2) or [("", 0)]
    if most >= 2 and most > english:
        tied = [best, *(language for language, count in others if count == most)]
        return best if len(tied) == 1 else _by_letters(folded, tuple(sorted(tied)))[0]
    if english >= 2 and english / len(tokens) >= _FEW and english > most:
        return "en"
    language, confidence = _by_letters(folded)
    few = len(tokens) <= _FEW_WORDS and folded.isascii()
    return language if confidence >= (_SURE_OF_FEW if few else _SURE) else ""


def _by_letters(text: str, languages: tuple[str, ...] = _KNOWN) -> tuple[str, float]:
    """Return the most likely of some languages by its letters, and the confidence."""
    ranked = _detector().rank(text)
    return next((str(name), float(sure)) for name, sure in ranked if name in languages)


@lru_cache(maxsize=1)
def _detector() -> LanguageIdentifier:
    """Load the detector once: a model of 4.5 MB, shipped in its package."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    detector = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    detector.set_languages(_KNOWN)
    return detector
