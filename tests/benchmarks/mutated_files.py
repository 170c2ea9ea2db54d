"""Damage derived files of a library at random, and check that every answer stays the same.

Run from the project's root::

    python tests/benchmarks/mutated_files.py 1000 >> docs/results/crash.md

A byte is flipped, a file cut off, extended, blanked in a part, exchanged for another or for the
same file of an earlier state, emptied, removed, or replaced by a folder. Then a search by case and
by words, the cached pixels, the cached features and the novelty check must answer as before, FAISS
must never be given a byte that it did not write, ``verify`` must leave nothing, and the second
answers must equal the first.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.mutations import KINDS, Mutations

HEAD = """
# What damage to derived files does

`python tests/benchmarks/mutated_files.py {count} --seed {seed}` · load average {before} before,
{after} after

{count} derived files were damaged: {files} different ones, of a library with an exact index and of
one with an HNSW index. Crashes, answers that changed, bytes that FAISS parsed though they were
damaged, or files that were not made again: **{wrong}**.

| place | {kinds} |
|---|{line}|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    chance, before = random.Random(asked.seed), os.getloadavg()[0]
    wrong: list[str] = []
    counts: Counter[tuple[str, str]] = Counter()
    n_files = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("hnsw", "exact"):
            mutations = Mutations(Path(folder) / kind, kind)
            every = [(file, how) for file in mutations.files() for how in KINDS]
            n_files += len(mutations.files())
            for i in range(asked.count // 2 + (asked.count % 2 if kind == "hnsw" else 0)):
                if i % len(every) == 0:
                    chance.shuffle(every)
                found = mutations.damage(*every[i % len(every)], chance)
                if found:
                    wrong.append(found)
                    sys.stderr.write(f"{found}\n")
            counts += mutations.counts
    head = HEAD.format(
        count=asked.count,
        seed=asked.seed,
        files=n_files,
        wrong=len(wrong),
        kinds=" | ".join(KINDS),
        line="---|" * (len(KINDS) - 1) + "---",
        before=f"{before:.2f}",
        after=f"{os.getloadavg()[0]:.2f}",
    )
    sys.stdout.write(head)
    for place in sorted({place for place, _ in counts}):
        row = " | ".join(str(counts[place, kind]) for kind in KINDS)
        sys.stdout.write(f"| {place} | {row} |\n")
    for line in wrong:
        sys.stdout.write(f"\nFAILED: {line}\n")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
