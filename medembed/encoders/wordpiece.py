"""Learn a WordPiece vocabulary from notes, reproducibly.

The trainer of the ``tokenizers`` library breaks ties by the order of a hash table, so that two
runs give two vocabularies; here ties are broken alphabetically. Parsing and encoding are left to
``tokenizers``.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from medembed.encoders.tokenizers import WordPieceTokens

__all__ = ["learn_pieces", "learn_wordpiece"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ALPHABET = 200

Pair = tuple[str, str]


def learn_wordpiece(
    notes: Sequence[str], vocabulary: int, min_notes: int, length: int
) -> WordPieceTokens:
    """Learn a lower-case WordPiece vocabulary.

    A word counts once per note, so that one long note cannot add its own words.

    Parameters
    ----------
    notes : sequence of str
    vocabulary : int
        Maximum number of pieces.
    min_notes : int
        Notes in which a pair of pieces must occur to be joined: rarer words, such as people's
        names, are spelled from smaller pieces.
    length : int
        Tokens after which a text is truncated.

    References
    ----------
    Wu et al. 2016, Google's Neural Machine Translation System, section 4.1; pairs are joined by
    their count, as in Sennrich et al. 2016, Neural Machine Translation of Rare Words.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for note in notes:
        parts = splitter.pre_tokenize_str(normalizer.normalize_str(note))
        counts.update({word for word, _ in parts})
    pieces = [*SPECIAL, *learn_pieces(counts, vocabulary - len(SPECIAL), min_notes)]
    ids = {piece: at for at, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab=ids, unk_token="[UNK]"))  # noqa: S106  no secret
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    described = json.loads(tokenizer.to_str())
    described["model"]["vocab"] = ids  # in the order of the ids
    return WordPieceTokens(json.dumps(described, ensure_ascii=False), length)


def learn_pieces(counts: Counter[str], size: int, smallest: int) -> list[str]:
    """Join the most frequent neighbors repeatedly; ties are broken alphabetically.

    Parameters
    ----------
    counts : Counter of str
        Words.
    size : int
        Maximum number of pieces.
    smallest : int
        Pairs that are rarer are not joined.

    Returns
    -------
    list of str
        Letters first, then joined pieces in the order in which they were made; a piece that does
        not begin a word starts with ``##``.

    Examples
    --------
    >>> learn_pieces(Counter({"ab": 3, "abc": 2}), 9, 3)
    ['##b', '##c', 'a', 'ab']
    """
    words = sorted(counts)
    spelled = [[word[0], *(f"##{letter}" for letter in word[1:])] for word in words]
    letters: Counter[str] = Counter()
    for word, letters_of in zip(words, spelled, strict=True):
        for letter in letters_of:
            letters[letter] += counts[word]
    common = sorted(letters, key=lambda letter: (-letters[letter], letter))[: min(_ALPHABET, size)]
    pieces = sorted(common)
    known = set(pieces)
    pairs: Counter[Pair] = Counter()
    places: defaultdict[Pair, set[int]] = defaultdict(set)
    for at, parts in enumerate(spelled):
        for pair in _pairs(parts):
            pairs[pair] += counts[words[at]]
            places[pair].add(at)
    heap = [(-n, pair) for pair, n in pairs.items()]
    heapq.heapify(heap)
    while heap and len(pieces) < size:
        count, pair = heapq.heappop(heap)
        if -count != pairs[pair] or -count < smallest:
            continue  # its count has changed since, or it is too rare
        joined = pair[0] + pair[1].removeprefix("##")
        changed: set[Pair] = set()
        for at in sorted(places[pair]):
            n = counts[words[at]]
            for old in _pairs(spelled[at]):
                pairs[old] -= n
                changed.add(old)
            spelled[at] = _join(spelled[at], pair, joined)
            for new in _pairs(spelled[at]):
                pairs[new] += n
                places[new].add(at)
                changed.add(new)
        places.pop(pair, None)
        for other in changed:
            if pairs[other] >= smallest:
                heapq.heappush(heap, (-pairs[other], other))
        if joined not in known:
            known.add(joined)
            pieces.append(joined)
    return pieces


def _pairs(parts: list[str]) -> Iterable[Pair]:
    return pairwise(parts)


def _join(parts: list[str], pair: Pair, joined: str) -> list[str]:
    out: list[str] = []
    at = 0
    while at < len(parts):
        if at + 1 < len(parts) and (parts[at], parts[at + 1]) == pair:
            out.append(joined)
            at += 2
        else:
            out.append(parts[at])
            at += 1
    return out
