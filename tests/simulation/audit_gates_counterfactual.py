"""Gate G7: an encoder that ignores the patient's sex left alone, a planted use of it measured.

Run on a quiet machine::

    OMP_NUM_THREADS=1 python tests/simulation/audit_gates_counterfactual.py --cohorts 1000

Encoders are bags of words with a random vector for each word. ``invariant``: words of sex are left
out, and each text has its own rounding noise; ``senseless``: words of sex have vectors like any
other word, with no bearing on the images; ``planted``: they push along the line that tells the
groups' images apart, and every word of the frame adds its own noise.
"""

from __future__ import annotations

import argparse
import json
import zlib

import numpy as np

from evaluation.sections import Swap, assess_counterfactual

FINDINGS = ("effusion", "opacity", "nodule", "pneumothorax", "cardiomegaly", "fracture", "mass",
            "atelectasis", "edema", "emphysema")  # fmt: skip
SIDES = ("left", "right", "bilateral", "small", "large", "new", "old", "unchanged")
TEXTS = [f"{side} {finding}" for side in SIDES for finding in FINDINGS]
SEX = ("male", "female")
SWAP = Swap("sex", "male", "female")


class BagOfWords:
    """Vectors of words by seed; ``push`` along ``line`` for a female, against it for a male."""

    def __init__(self, seed, dimensions, *, knows_sex, frame, line=None, push=0.0, rounding=0.0):
        self.seed, self.dimensions, self.knows_sex = seed, dimensions, knows_sex
        self.frame, self.line, self.push, self.rounding = frame, line, push, rounding
        self.known = {}

    def word(self, word):
        if word not in self.known:
            rng = np.random.default_rng([self.seed, zlib.crc32(word.encode())])
            clinical = word in FINDINGS or word in SIDES
            self.known[word] = (1.0 if clinical else self.frame) * rng.normal(size=self.dimensions)
        return self.known[word]

    def __call__(self, texts):
        out = np.zeros((len(texts), self.dimensions))
        for row, text in enumerate(texts):
            words = text.lower().replace(".", " ").split()
            for word in words:
                if self.knows_sex or word not in SEX:
                    out[row] += self.word(word)
            if self.line is not None:
                out[row] += self.push * self.line * (("female" in words) - ("male" in words))
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        if self.rounding:
            noise = np.random.default_rng([self.seed, zlib.crc32("".join(texts).encode())])
            out += self.rounding * noise.normal(size=out.shape)
        return out


def run(setting: str, seed: int, dimensions: int = 32, n_patients: int = 200):
    """Rows of the assessment, and the true effect on similarity of what was planted."""
    rng = np.random.default_rng([seed, 7])
    line = rng.normal(size=dimensions)
    line /= np.linalg.norm(line)
    group = np.where(np.arange(n_patients) < n_patients // 2, "F", "M")
    images = rng.normal(size=(n_patients, dimensions)) + 1.5 * np.outer(group == "F", line)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    planted = setting == "planted"
    encoder = BagOfWords(
        seed,
        dimensions,
        knows_sex=setting != "invariant",
        frame=0.3 if setting == "senseless" else 0.05,
        line=line if planted else None,
        push=1.5 if planted else 0.0,
        rounding=1e-7 if setting == "invariant" else 0.0,
    )
    found = assess_counterfactual(
        TEXTS, encoder, images, {"sex": group}, range(n_patients), swaps=[SWAP], repetitions=200,
        seed=seed,
    )  # fmt: skip
    centre = images[group == "F"].mean(axis=0) - images[group == "M"].mean(axis=0)
    quiet = BagOfWords(seed, dimensions, knows_sex=False, frame=0.0, line=line, push=encoder.push)
    two, one = (quiet([f"{sex} {text}" for text in TEXTS]) for sex in ("female", "male"))
    return found.rows, float(((two - one) @ centre).mean())


def figures(setting: str, cohorts: int, seed: int) -> dict[str, object]:
    """Share of flagged runs; for the planted direction its estimate over the truth."""
    flagged, found_group, low_p, ratio = [], [], [], []
    for number in range(cohorts):
        rows, truth = run(setting, seed * 1_000_003 + number)
        flagged.append(any(row.verdict in ("exceeds", "differs") for row in rows))
        low_p.append(any(row.p_adjusted is not None and row.p_adjusted <= 0.05 for row in rows))
        mine = next(row for row in rows if row.group == "F" and row.measure == "similarity")
        found_group.append(mine.verdict in ("exceeds", "differs"))
        if setting == "planted":
            ratio.append(mine.effect / truth)
    rate = float(np.mean(flagged))
    out: dict[str, object] = {
        "flags": int(np.sum(flagged)),
        "flagged": rate,
        "p_adjusted_below_5_percent": float(np.mean(low_p)),
        "standard_error": float(np.sqrt(rate * (1 - rate) / cohorts)),
        "cohorts": cohorts,
        "queries": len(TEXTS),
    }
    if ratio:
        out |= {
            "group_found": float(np.mean(found_group)),
            "estimate_over_truth": float(np.mean(ratio)),
            "estimate_over_truth_standard_error": float(np.std(ratio) / np.sqrt(cohorts)),
            "estimates_within_10_percent": float(np.mean(np.abs(np.array(ratio) - 1) <= 0.1)),
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    result = {
        name: figures(name, options.cohorts, options.seed)
        for name in ("invariant", "senseless", "planted")
    }
    print(json.dumps({"gate": "G7", "seed": options.seed, **result}))


if __name__ == "__main__":
    main()
