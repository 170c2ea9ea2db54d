"""Known-item search: is the case found whose report the words of a query were taken from?

    python tests/benchmarks/fused_search.py captions CAPTIONS.csv [--choose]
    python tests/benchmarks/fused_search.py cohort LIBRARY [--choose]

The rule is fixed: of the content words of what a text affirms (three letters or more, no function
words; its denials are left out, as a query would mean the opposite without its "no"), a third, at
least 2 and at most 6, drawn by a seed from its id and kept in their order. In ``words`` the query
is these words. In ``reworded`` each of them that the table below has is replaced, as a reader may
say "renal" where the report says "kidney". Texts that give fewer than 2 words are no queries; all
stay in the gallery.

``captions``: figure captions (columns ``roco_id, pmc_id, roco_split, caption``). The dense part is
MiniLM as published, nothing trained; words against words. ``cohort``: the embedded cohort of
``medembed demo``; the dense part is the trained pair, words against images, and the text is the
report's impression and findings. What is chosen is chosen on the validation captions and cases
(``--choose`` prints the table); the figures are those of the test captions and cases.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import random
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medembed.cases import Case, ScanRef
from medembed.library import CaseLibrary, library_vocabulary
from medembed.library.note_words import query_words
from medembed.lookup import CaseLookup
from medembed.lookup.fused import AGREEMENT_WEIGHT
from medembed.lookup.note_words import TYPICAL_RARITY, NoteWords
from medembed.lookup.statements import Statements
from medembed.lookup.terms import read_terms
from medembed.model.report_text import note_text
from medembed.notes import Vocabulary, read_note
from medembed.notes.affirmed import split_denied

_FUNCTION = """
    the and with for from this that these those was were are has have had been being not without
    which who whom its his her their into onto over under after before during between within there
    here also both each all any some such than then when where while may can could will showing
    shows show shown seen demonstrating demonstrates reveals revealed image figure
"""
FUNCTION = frozenset(_FUNCTION.split())
REWORDED = {
    "kidney": "renal", "renal": "kidney", "heart": "cardiac", "cardiac": "heart",
    "lung": "pulmonary", "pulmonary": "lung", "liver": "hepatic", "hepatic": "liver",
    "brain": "cerebral", "cerebral": "brain", "tumor": "neoplasm", "mass": "lesion",
    "lesion": "mass", "radiograph": "x-ray", "ray": "radiograph", "ultrasound": "sonography",
    "sonography": "ultrasound", "fluid": "effusion", "effusion": "fluid", "dilated": "enlarged",
    "enlarged": "dilated", "fracture": "break", "stomach": "gastric", "gastric": "stomach",
    "tomography": "CT", "resonance": "MRI", "bone": "osseous", "vertebral": "spinal",
    "spinal": "vertebral", "stone": "calculus", "bleeding": "hemorrhage", "clot": "thrombus",
    "hemorrhage": "bleeding", "thrombus": "clot", "abdominal": "belly", "chest": "thoracic",
    "thoracic": "chest", "small": "tiny", "large": "big", "mild": "slight", "bilateral": "both",
    "cardiomegaly": "enlarged heart", "atelectasis": "collapse",
    "pneumothorax": "air in the pleura", "opacity": "shadow", "nodule": "small round lesion",
}  # fmt: skip
RULES = ("words", "reworded")


@dataclass
class Bench:
    """Texts in the order of the ids, and the score of every text for every query by each part."""

    ids: list[str]
    patients: list[str]
    queries: dict[str, list[tuple[int, str]]]
    dense: dict[str, np.ndarray]
    agreement: dict[str, np.ndarray]
    bm25: dict[str, np.ndarray]
    beside: dict[str, np.ndarray]
    rarity: dict[str, np.ndarray]

    def reciprocal_ranks(self, rule: str, scores: np.ndarray) -> np.ndarray:
        """One over the place of each query's text; among equal scores, the mean place."""
        wanted = scores[np.arange(len(scores)), [at for at, _ in self.queries[rule]]][:, None]
        before, equal = (scores > wanted).sum(1), (scores == wanted).sum(1)
        return 1 / (before + (equal + 1) / 2)

    def systems(self, rule: str, typical: float) -> dict[str, np.ndarray]:
        dense, bm25 = self.dense[rule], self.bm25[rule]
        agreement = self.agreement[rule]
        counts = np.where(agreement.any(axis=1, keepdims=True), AGREEMENT_WEIGHT, 0.0)
        stated = (1 - counts) * dense + counts * agreement
        words = (self.rarity[rule] / (self.rarity[rule] + typical))[:, None]
        return {
            "BM25": bm25,
            "vectors": dense,
            "vectors, agreement": stated,
            "fused": (1 - words) * stated + words * self.beside[rule],
            "reciprocal ranks": sum(1 / (60 + ranks(part)) for part in (dense, bm25)),
        }


def ranks(scores: np.ndarray) -> np.ndarray:
    return (-scores).argsort(axis=1, kind="stable").argsort(axis=1) + 1


def affirmed(text: str, vocabulary: Vocabulary) -> str:
    """What a text states, without what it denies."""
    split = split_denied(read_note(text, vocabulary), vocabulary)
    return split.affirmed if split.denied else text


def query_of(name: str, text: str, rule: str) -> str:
    words = [w for w in dict.fromkeys(re.findall(r"[a-z]{3,}", text.lower())) if w not in FUNCTION]
    n = min(6, max(2, len(words) // 3))
    if len(words) < n:
        return ""
    draw = random.Random(hashlib.sha256(name.encode()).digest())
    kept = sorted(draw.sample(range(len(words)), n))
    return " ".join(
        REWORDED.get(words[at], words[at]) if rule == "reworded" else words[at] for at in kept
    )


def parts_of(library: CaseLibrary, ids: list[str], texts: list[str]) -> tuple[np.ndarray, ...]:
    """Agreement of the cases with each text, BM25 without and with it in mind, and the rarity."""
    vocabulary = library_vocabulary(library)
    statements, words = Statements(library, ids), NoteWords(library, ids)
    rows = []
    for text in texts:
        terms = read_terms(read_note(text, vocabulary), vocabulary)
        agreement = statements.agreement(terms.terms)
        match = words.match(terms.words, terms.unread, statements.opposed(terms))
        rarity = TYPICAL_RARITY * match.weight / (1 - match.weight)
        alone = words.match(query_words(text)).shares
        rows.append((agreement, alone, match.shares, np.array(rarity)))
    return tuple(map(np.stack, zip(*rows, strict=True)))


def make(
    library: CaseLibrary,
    ids: list[str],
    patients: list[str],
    texts: list[str],
    most: int,
    dense_of: Callable[[list[str]], np.ndarray],
) -> Bench:
    asked = random.Random(0).sample(range(len(ids)), min(most, len(ids)))
    bench = Bench(ids, patients, {}, {}, {}, {}, {}, {})
    vocabulary = library_vocabulary(library)
    for rule in RULES:
        found = [(at, query_of(ids[at], affirmed(texts[at], vocabulary), rule)) for at in asked]
        bench.queries[rule] = [(at, query) for at, query in found if query]
        queries = [query for _, query in bench.queries[rule]]
        bench.dense[rule] = dense_of(queries)
        parts = parts_of(library, ids, queries)
        bench.agreement[rule], bench.bm25[rule], bench.beside[rule], bench.rarity[rule] = parts
    return bench


def of_captions(path: Path, split: str, most: int) -> Bench:
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["roco_split"] == split]
    ids = [row["roco_id"] for row in rows]
    texts = [row["caption"] for row in rows]
    encode = minilm()
    gallery = encode(texts)
    with tempfile.TemporaryDirectory() as folder, CaseLibrary.create(Path(folder) / "c") as library:
        library.add(
            Case(
                name,
                f"P-{name}",
                (ScanRef((f"/{name}.png",), hashlib.sha256(name.encode()).hexdigest()),),
                note=read_note(text),
            )
            for name, text in zip(ids, texts, strict=True)
        )
        articles = [row["pmc_id"].split("_")[0] for row in rows]
        return make(
            library, ids, articles, texts, most, lambda queries: encode(queries) @ gallery.T
        )


def minilm() -> Callable[[list[str]], np.ndarray]:
    import torch

    from medembed.encoders.pretrained import MINILM, StarterOptions

    net, tokens = MINILM.build(StarterOptions(), 128, ())
    net.eval()

    def encode(texts: list[str]) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        rows = np.empty((len(texts), 384), np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), 64):
                batch = order[start : start + 64]
                ids, mask = tokens([texts[at] for at in batch])
                out = net(torch.as_tensor(ids), torch.as_tensor(mask)).numpy()
                rows[batch] = out / np.linalg.norm(out, axis=1, keepdims=True)
        return rows

    return encode


def of_cohort(path: Path, split: str, most: int) -> Bench:
    with CaseLibrary.open(path) as library, CaseLookup(library) as lookup:
        cases = [case for case in library.cases(f"split={split}") if case.note]
        ids = [case.case_id for case in cases]
        vectors = np.stack([lookup.index.index.vector(name) for name in ids])
        return make(
            library,
            ids,
            [case.patient_id for case in cases],
            [note_text(case.note) for case in cases],
            most,
            lambda queries: lookup.model.encode_notes(queries) @ vectors.T,
        )


def interval(difference: np.ndarray, patients: list[str]) -> tuple[float, float]:
    """95% interval of a mean difference, patients (articles of captions) resampled."""
    names, of = np.unique(patients, return_inverse=True)
    sums = np.bincount(of, difference, len(names))
    counts = np.bincount(of, minlength=len(names))
    draws = np.random.default_rng(0).integers(0, len(names), (2000, len(names)))
    means = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def choose(bench: Bench) -> None:
    print("typical rarity -> MRR of: fused | reciprocal ranks | BM25 | vectors")
    for rule in RULES:
        print(rule, f"({len(bench.queries[rule])} queries, {len(bench.ids)} texts)")
        for typical in (0.12, 0.25, 0.5, 1, 2, 4, 8, 16, 32):
            systems = bench.systems(rule, typical)
            line = " | ".join(
                f"{bench.reciprocal_ranks(rule, systems[name]).mean():.3f}"
                for name in ("fused", "reciprocal ranks", "BM25", "vectors")
            )
            print(f"  {typical:6.1f}  {line}")


def report(bench: Bench) -> None:
    for rule in RULES:
        print(f"{rule}: {len(bench.queries[rule])} queries, {len(bench.ids)} texts")
        systems = bench.systems(rule, TYPICAL_RARITY)
        reciprocal = {name: bench.reciprocal_ranks(rule, s) for name, s in systems.items()}
        patients = [bench.patients[at] for at, _ in bench.queries[rule]]
        for name, values in reciprocal.items():
            line = f"  {name:20} MRR {values.mean():.3f}  R@1 {(values == 1).mean():.3f}"
            if name != "fused":
                low, high = interval(reciprocal["fused"] - values, patients)
                gain = (reciprocal["fused"] - values).mean()
                line += f"  fused gains {gain:+.3f} [{low:+.3f}, {high:+.3f}]"
            print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("captions", "cohort"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--choose", action="store_true", help="on validation, by weight")
    parser.add_argument("--most", type=int, default=1000, help="queries, drawn by a fixed seed")
    asked = parser.parse_args()
    split = {"captions": ("test", "validation"), "cohort": ("test", "val")}[asked.kind]
    of = of_captions if asked.kind == "captions" else of_cohort
    bench = of(asked.path, split[asked.choose], asked.most)
    (choose if asked.choose else report)(bench)


if __name__ == "__main__":
    main()
