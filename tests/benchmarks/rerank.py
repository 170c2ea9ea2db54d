"""What a model's reranker gains on unseen patients, and what it costs.

    medembed train LIBRARY --config rerank
    python tests/benchmarks/rerank.py LIBRARY [--model NAME] [--split test] [--time]

Every note of the split is compared with every image and back, by the rule of `medembed evaluate`;
the first 50 of each are reordered. Intervals are 95%, paired over patients. Settings were chosen on
the validation patients, none on these. --time prints milliseconds; run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from medembed.library import CaseLibrary
from medembed.model import DualEncoder
from medembed.model.pixel_cache import PixelCache
from medembed.model.report_text import note_text
from medembed.model.reranking import CANDIDATES, ImageTokens, ModelReranker
from medembed.pairing import joined, note_key, owner_keys, relevant_and_left_out
from medembed.training.rerank_gain import first_candidates, reordered
from medembed.training.validation import first_relevant_ranks, patient_intervals

MEASURES = ("R@1", "R@5", "R@10", "MRR")


def measured(ranks: np.ndarray) -> np.ndarray:
    return np.stack([ranks <= 1, ranks <= 5, ranks <= 10, 1 / ranks], axis=1).astype(float)


def spent(reranker: ModelReranker, images: list[np.ndarray], text: str, rounds: int = 30) -> str:
    """Median CPU and wall milliseconds of reading 50 images with one text, tokens at hand."""
    cpu, wall = [], []
    for _ in range(rounds):
        began, on_cpu = time.perf_counter(), time.process_time()
        reranker.scores(images, text)
        wall.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.process_time() - on_cpu))
    return f"{statistics.median(cpu):.1f} ms CPU, {statistics.median(wall):.1f} ms wall"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", type=Path)
    parser.add_argument("--model", default="rerank")
    parser.add_argument("--split", default="test")
    parser.add_argument("--time", action="store_true")
    chosen = parser.parse_args()
    with CaseLibrary.open(chosen.library) as library:
        model = DualEncoder.load(chosen.library / "models" / chosen.model)
        reranker = model.reranker
        if reranker is None:
            raise SystemExit("this model has no reranker: medembed train LIBRARY --config rerank")
        cases = [c for c in library.select(library.split(chosen.split)) if c.note]
        found = ImageTokens(library, model).of(cases)
        pairs = [(c, rows) for c, rows in zip(cases, found, strict=True) if rows is not None]
        cases, images = [c for c, _ in pairs], [rows for _, rows in pairs]
        texts = [note_text(c.note) for c in cases if c.note]
        stored = dict(zip(*library.vectors(model.fingerprint, "image"), strict=True))
        vectors = np.stack([stored[c.case_id] for c in cases])
    notes = joined([[note_key(c.note.text)] for c in cases if c.note])
    owners = joined([owner_keys(c.patient_id, c.group_id) for c in cases])
    scans = joined([[PixelCache.key_of(ref) for ref in c.scans] for c in cases])
    relevant, left_out = relevant_and_left_out(notes, owners, scans)
    similarity = reranker.about.scale * (vectors @ model.encode_notes(texts).T).astype(float)
    needed = first_candidates(similarity, left_out) | first_candidates(similarity.T, left_out).T
    scores = np.zeros_like(similarity)
    for column, text in enumerate(texts):
        rows = np.flatnonzero(needed[:, column])
        scores[rows, column] = reranker.scores([images[row] for row in rows], text)
    scores *= reranker.about.weight
    n_patients = len(set(owners.tolist()))
    print(f"{len(cases)} cases of {n_patients} patients, split {chosen.split}\n")
    print("| direction | measure | none | reranker | gain [95%] |")
    print("|---|---|---|---|---|")
    for name, table, added in (
        ("text→image", similarity.T, scores.T),
        ("image→text", similarity, scores),
    ):
        none = measured(first_relevant_ranks(table, relevant, left_out))
        shown = reordered(table, added, left_out)
        with_it = measured(first_relevant_ranks(shown, relevant, left_out))
        gain = with_it - none
        low, high, _ = patient_intervals(gain, owners)
        for at, measure in enumerate(MEASURES):
            print(
                f"| {name} | {measure} | {none[:, at].mean():.3f} | {with_it[:, at].mean():.3f} | "
                f"{gain[:, at].mean():+.3f} [{low[at]:+.3f}, {high[at]:+.3f}] |"
            )
    if chosen.time:
        report, words = texts[0], " ".join(texts[0].split()[:4])
        some = images[:CANDIDATES]
        print(f"\n{len(some)} images with a report: {spent(reranker, some, report)}")
        print(f"{len(some)} images with four words: {spent(reranker, some, words)}")


if __name__ == "__main__":
    main()
