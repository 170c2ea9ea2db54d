"""Assignment of sides to the findings of a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medembed.notes.enumerations import in_one_list
from medembed.notes.lexicon import Sentence, Trigger, walk
from medembed.notes.note import Side
from medembed.notes.vocabulary import Vocabulary

__all__ = ["SideFinder"]

_NEAR = 3  # words between a denial and the side that it denies
_LETTERS = {"l": "left", "r": "right"}


@dataclass(frozen=True)
class _SideWord:
    side: str
    first: int
    last: int


class SideFinder:
    """Finds the side of each mention in a sentence.

    A side before a finding goes to the next finding ("left basal consolidation"), one in a phrase
    of place goes to the finding before it ("nodule in the left lung") unless there is none. Items
    of a list without a side take that of the list. Left and right together are bilateral if
    something joins them; the side behind "abutting" is that of something else. Only findings with
    laterality get one.

    Parameters
    ----------
    text : str
        The report as written, in which a single ``L`` or ``R`` is a side.
    sentence : Sentence
    vocabulary : Vocabulary
    """

    def __init__(self, text: str, sentence: Sentence, vocabulary: Vocabulary) -> None:
        self.text = text
        self.sentence = sentence
        self.vocabulary = vocabulary
        self.tokens = sentence.tokens
        self.mentions = sentence.mentions
        self.joints = sentence.joints
        self.end = len(sentence.tokens)
        self.cuts = [at for name in ("ends", "exceptions") for at in sentence.marks.get(name, {})]

    def denials(self) -> frozenset[int]:
        """Return tokens of triggers that deny only a side: "on the right, none on the left"."""
        found = (self._denial(word) for word in self._words())
        return frozenset(at for at in found if at is not None)

    def find(self, absent: Sequence[bool]) -> list[Side]:
        """Return the side of each mention.

        Parameters
        ----------
        absent : sequence of bool
            Which mentions are denied: a present and an absent finding do not share a side.

        Returns
        -------
        list of {"", "left", "right", "bilateral"}
        """
        found: list[set[str]] = [set() for _ in self.mentions]
        ahead = [False] * len(self.mentions)
        borrowed: set[int] = set()  # have only the side of the text before them
        last: tuple[int, int] | None = None  # owner and end of the last side
        for word in self._words():
            if self._denial(word) is not None:
                continue
            owner = self._owner(word)
            is_ahead = owner is not None and word.first < self.mentions[owner].first
            is_foreign = owner is not None and self._is_of_another(word, owner)
            if owner is None or (is_foreign and not is_ahead):
                continue
            if owner in borrowed and not is_foreign:
                found[owner].clear()  # the first side belonged to something else
                last = None
                borrowed.discard(owner)
            if is_foreign and not found[owner]:
                borrowed.add(owner)
            if last and last[0] == owner and not self._goes_on(last[1], word):
                if not is_ahead:
                    continue
                found[owner].clear()  # "after left lobectomy shows right effusion"
            last = (owner, word.last)
            found[owner].add(word.side)
            ahead[owner] |= is_ahead
        self._spread(found, ahead, absent)
        findings = self.vocabulary.findings
        return [
            _merged(side) if mention.label and findings[mention.label].sided else ""
            for mention, side in zip(self.mentions, found, strict=True)
        ]

    def _words(self) -> list[_SideWord]:
        words = []
        for first, last, names in walk(self.vocabulary.sides, self.tokens):
            if "elsewhere" not in names:
                side = "bilateral" if "both" in names else names[0]
                words.append(_SideWord(side, first, last))
            else:
                words.append(_SideWord("", first, last))
        taken = {at for word in words for at in range(word.first, word.last)}
        words += [
            _SideWord(_LETTERS[token.word], at, at + 1)
            for at, token in enumerate(self.tokens)
            if at not in taken and token.word in _LETTERS and self._is_letter(at)
        ]
        return sorted((word for word in words if word.side), key=lambda word: word.first)

    def _is_letter(self, at: int) -> bool:
        """Whether a single letter is a side: not in ``5 L``, ``L spine`` or ``R/O``."""
        token = self.tokens[at]
        if not self.text[token.start].isupper():
            return False
        if at and self.tokens[at - 1].word[-1].isdigit() and self.tokens[at - 1].end < token.start:
            return False
        following = self.tokens[at + 1].word if at + 1 < len(self.tokens) else ""
        if following in ("spine", "'", "’", ":") or following[:1].isdigit():
            return False
        if following in ("/", "-") and at + 2 < len(self.tokens):
            return self.tokens[at + 2].word not in ("spine", "o", "t")
        return True

    def _is_of_another(self, word: _SideWord, owner: int) -> bool:
        """Whether a side belongs to something else, from which the finding may borrow it.

        "Left pneumonectomy with right effusion", "left lung clear, right effusion", "right
        effusion, left lung clear".
        """
        mention = self.mentions[owner]
        if word.last <= mention.first:
            joint = next((j for j in self.joints if word.last <= j.first < mention.first), None)
            return joint is not None and self._names_another(word.last, joint.first)
        if word.first < mention.last or not self._joined(mention.last, word.first):
            return False
        if self._is_placed(word.first) and not self._begins_clause(word):
            return False
        stop = min((j.first for j in self.joints if j.first >= word.last), default=self.end)
        return self._names_another(word.last, stop)

    def _begins_clause(self, word: _SideWord) -> bool:
        """Whether a place has its own verb: "…, on the right it persists"."""
        stop = min((j.first for j in self.joints if j.first >= word.last), default=self.end)
        return any(self.tokens[at].word in self.vocabulary.verbs for at in range(word.last, stop))

    def _names_another(self, low: int, high: int) -> bool:
        normal = self.vocabulary.file.classes.get("normal_word", ())
        for at in range(low, high):
            word = self.tokens[at].word
            if any(m.first <= at < m.last for m in self.mentions) or at in self.sentence.held:
                return False
            if any(w.first <= at < w.last for w in self._words()):
                return False  # "R>L"
            if word in self.vocabulary.verbs or word in normal:
                return True
            if self.vocabulary.plain.longest(self.tokens, at, self.end):
                continue
            if word in self.vocabulary.file.sides.compares or word in self.vocabulary.relations:
                return False
            if self._is_foreign(at) and word.isalpha():
                return True
        return False

    def _mention_before(self, at: int) -> int | None:
        return max((i for i, m in enumerate(self.mentions) if m.last <= at), default=None)

    def _denial(self, word: _SideWord) -> int | None:
        """Return the token of a trigger that denies only this side."""
        sentence = self.sentence
        behind = next((t for t in sentence.triggers if t.first >= word.last), None)
        if behind is not None and not self._is_bare(word.last, behind.first):
            behind = None
        if behind is not None and self._denies_side_before(behind, word):
            return behind.first  # "right moderate, left none"
        trigger = next((t for t in reversed(sentence.triggers) if t.last <= word.first), None)
        if trigger is None or word.first - trigger.last > _NEAR:
            return None
        if not any(group.kind in ("absent", "contrast") for group in trigger.groups):
            return None
        between = range(trigger.last, word.first)
        if any(self.tokens[at].word not in self.vocabulary.function for at in between):
            return None
        if self.tokens[trigger.first].word in self.vocabulary.verbs:
            return None
        owner = self._mention_before(trigger.first)
        if owner is None:
            return None
        stop = min((j.first for j in self.joints if j.first >= word.last), default=len(self.tokens))
        if any(word.last <= m.first < stop for m in self.mentions):
            return None  # "no left effusion"
        others = [w for w in self._words() if w.last <= trigger.first and w.side != word.side]
        return trigger.first if others else None

    def _is_bare(self, low: int, high: int) -> bool:
        """Whether a range has at most a place word: "left side none", "left base none"."""
        return high - low <= 1 and all(
            self.vocabulary.plain.longest(self.tokens, at, self.end) for at in range(low, high)
        )

    def _denies_side_before(self, trigger: Trigger, word: _SideWord) -> bool:
        closes = trigger.last >= self.end or any(j.first == trigger.last for j in self.joints)
        denies = any(g.kind == "absent" and g.direction == "after" for g in trigger.groups)
        others = [w for w in self._words() if w.last <= word.first and w.side != word.side]
        return closes and denies and bool(others) and self._mention_before(word.first) is not None

    def _joined(self, low: int, high: int) -> bool:
        return any(low <= joint.first < high for joint in self.joints)

    def _cut(self, low: int, high: int) -> bool:
        return any(low <= at < high for at in self.cuts)

    def _is_placed(self, at: int) -> bool:
        """Whether a side is part of a place phrase: "in the left"."""
        place = set(self.vocabulary.file.sides.place)
        function = self.vocabulary.function
        at -= 1
        while at >= 0 and self.tokens[at].word in function and self.tokens[at].word not in place:
            at -= 1
        return at >= 0 and self.tokens[at].word in place

    def _owner(self, word: _SideWord) -> int | None:
        """Return the mention that a side word belongs to."""
        if not self.mentions:
            return None
        for i, mention in enumerate(self.mentions):
            if mention.first <= word.first < mention.last:
                return i
        named = [(i, m) for i, m in enumerate(self.mentions) if m.label]
        before = [i for i, m in named if m.last <= word.first]
        after = [i for i, m in named if m.first >= word.last]
        if self._is_of_lookalike(word, after):
            return None
        if before and self._cut(self.mentions[before[-1]].last, word.first):
            before = []
        if after and self._cut(word.last, self.mentions[after[0]].first):
            after = []
        if not before or not after:
            return after[0] if after else before[-1] if before else None
        gap = range(self.mentions[before[-1]].last, word.first)
        apart = self._joined(gap.start, gap.stop) or any(
            trigger.first in gap for trigger in self.sentence.triggers
        )
        if apart and self.mentions[after[0]].first - word.last <= 1:
            return after[0]  # "no nodule, increase in left effusion"
        if self._is_placed(word.first) and not self._begins_statement(word, after[0]):
            # "effusion on the left and a nodule" is likelier than "effusion and, on the left, …"
            return before[-1]
        near = self._joined(self.mentions[before[-1]].last, word.first)
        far = self._joined(word.last, self.mentions[after[0]].first)
        return before[-1] if far and not near else after[0]

    def _is_of_lookalike(self, word: _SideWord, after: list[int]) -> bool:
        """Whether a side precedes a lookalike: "left thyroid nodule, …"."""
        alike = next((m for m in self.mentions if not m.label and m.first >= word.last), None)
        if alike is None or self._joined(word.last, alike.first):
            return False
        if not after:
            return not self._is_placed(word.first)
        following = self.mentions[after[0]].first
        return alike.last <= following and self._joined(alike.last, following)

    def _begins_statement(self, word: _SideWord, after: int) -> bool:
        """Whether a place follows a joint and precedes a finding: "…, on the right a mass"."""
        at = word.first - 1
        while at >= 0 and self.tokens[at].word in self.vocabulary.function:
            at -= 1
        joint = next((j for j in self.joints if j.last == at + 1), None)
        if joint is None or joint.kind not in ("comma", "break"):
            return False
        return not self._joined(word.last, self.mentions[after].first)

    def _goes_on(self, low: int, word: _SideWord) -> bool:
        """Whether another side of the same finding is joined to the previous one."""
        gap = range(low, word.first)
        words = [self.tokens[at].word for at in gap]
        if any(w in self.vocabulary.relations for w in words):
            return False
        compares = set(self.vocabulary.file.sides.compares)
        if any(w in compares or w in "<>=" for w in words):
            return True
        if words in ([name] for name in self.vocabulary.file.ors):
            return True  # "no left or right effusion"
        turns = [joint for joint in self.joints if joint.first in gap]
        if not turns:
            return False
        return not any(self._is_foreign(at) for at in range(turns[-1].last, word.first))

    def _is_foreign(self, at: int) -> bool:
        """Whether a word between two sides names something else, to which the second belongs."""
        word = self.tokens[at].word
        names = ("new_statement", "sizes", "large")
        if not word[0].isalnum() or word in self.vocabulary.function:
            return False
        if any(self.sentence.marked(name, at) for name in names):
            return False
        inside = any(m.first <= at < m.last for m in self.mentions)
        return not inside

    def _spread(self, found: list[set[str]], ahead: list[bool], absent: Sequence[bool]) -> None:
        """Pass the side of a list item to neighbors without a side."""
        own = [bool(sides) for sides in found]
        mentions, sentence, vocabulary = self.mentions, self.sentence, self.vocabulary
        for i in range(1, len(mentions)):  # "right effusion and consolidation"
            gap = range(mentions[i - 1].last, mentions[i].first)
            joined = in_one_list(sentence, vocabulary, i - 1, i, comma=self._list_goes_on(i))
            same = mentions[i].label == mentions[i - 1].label and not self._denies(gap)
            linked = any(at in gap for at in sentence.links) and not self._denies(gap)
            accompanies = linked or self._accompanies(gap)
            if absent[i] != absent[i - 1]:
                continue
            if not own[i] and found[i - 1] and (joined or same or accompanies):
                found[i] |= found[i - 1]
                ahead[i] = ahead[i - 1]
        for i in range(len(mentions) - 1, 0, -1):  # "effusion and consolidation on the right"
            joined = in_one_list(sentence, vocabulary, i - 1, i, back=True)
            shares = joined and absent[i] == absent[i - 1]
            if own[i] and not found[i - 1] and shares and not ahead[i]:
                found[i - 1] |= found[i]
                own[i - 1] = True
        for i in range(len(mentions) - 1):  # "effusion … : right effusion": the same named twice
            if not found[i] and mentions[i].label == mentions[i + 1].label:
                found[i] |= found[i + 1] if absent[i] == absent[i + 1] else set()

    def _denies(self, gap: range) -> bool:
        return any(
            trigger.first in gap and any(group.kind == "absent" for group in trigger.groups)
            for trigger in self.sentence.triggers
        )

    def _accompanies(self, gap: range) -> bool:
        """Whether "with" and at most three words are between two mentions at the end."""
        joint = next((j for j in reversed(self.joints) if j.first in gap), None)
        if joint is None or joint.kind != "with" or gap.stop - joint.last > _NEAR:
            return False
        words = range(joint.last, gap.stop)
        if self._denies(words):
            return False
        new = vocabulary_new(self.vocabulary)
        return not any(self.tokens[at].word in new for at in words)

    def _list_goes_on(self, i: int) -> bool:
        """Whether a comma before mention ``i`` is one of a list that ends with and/or."""
        return i + 1 < len(self.mentions) and in_one_list(
            self.sentence, self.vocabulary, i, i + 1, comma=False
        )


def vocabulary_new(vocabulary: Vocabulary) -> frozenset[str]:
    """Words for new findings, which do not share the side of an old one."""
    return frozenset(vocabulary.file.classes.get("newness", ()))


def _merged(sides: set[str]) -> Side:
    if "bilateral" in sides or len(sides) > 1:
        return "bilateral"
    return "left" if "left" in sides else "right" if "right" in sides else ""
