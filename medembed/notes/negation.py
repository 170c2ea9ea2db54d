"""Whether a sentence says that a finding is there, is not, or may be: rules after ConText.

A trigger before a finding reaches forward over the enumeration that begins there, to a joint where
a new statement begins ("no pneumonia, small effusion"). One behind a finding reaches back over the
enumeration that ends there, and overrides. Triggers that stand together are read together: "no
history of" denies, "no suspicious" denies, "possible old" is in doubt.

References
----------
Harkema H, Dowling JN, Thornblade T, Chapman WW. ConText: an algorithm for determining negation,
experiencer, and temporal status from clinical reports. J Biomed Inform 2009;42:839-851.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from medembed.notes.enumerations import in_one_list
from medembed.notes.lexicon import Mention, Sentence, Trigger
from medembed.notes.note import Status
from medembed.notes.patterns import tokens_of
from medembed.notes.scopes import Force, Scopes
from medembed.notes.vocabulary import Vocabulary
from medembed.notes.vocabulary_file import Kind, TriggerGroup

__all__ = ["Reading", "read_answer", "read_context"]

_ADJACENT = 3  # words between two triggers that are read together
_ADJECTIVES = 4  # words between "the" and its finding: "the left upper lobe consolidation"
_BACK = 14  # words that a trigger behind a finding reaches back over


@dataclass(frozen=True)
class Reading:
    """How a sentence speaks of a finding.

    Parameters
    ----------
    status : {"present", "absent", "uncertain"}
    historical : bool
    is_said : bool
        Whether it speaks of this study at all: "if an effusion develops" does not.
    """

    status: Status
    historical: bool = False
    is_said: bool = True


def read_context(
    sentence: Sentence, vocabulary: Vocabulary, side_denials: frozenset[int], asks: bool
) -> list[Reading]:
    """Read what a sentence says of each mention.

    Parameters
    ----------
    sentence : Sentence
    vocabulary : Vocabulary
    side_denials : frozenset of int
        Tokens of triggers that deny a side only: "none on the left".
    asks : bool
        Whether the sentence is a question.

    Returns
    -------
    list of Reading
        One for each mention.
    """
    return _Reader(sentence, vocabulary, side_denials).read(asks)


def read_answer(folded: str, start: int, end: int, vocabulary: Vocabulary) -> Status | None:
    """Read a sentence that only answers the question before it: "No."; None where it does not."""
    tokens = tokens_of(folded, start, end)
    while tokens and not tokens[-1].word.isalnum():
        tokens.pop()
    hit = vocabulary.triggers.longest(tokens, 0, len(tokens)) if tokens else None
    if hit is None or (hit[0] != len(tokens) and tokens[hit[0]].word != ","):
        return None
    kinds = {group.kind for group in hit[1]}
    return "absent" if "absent" in kinds else "present" if "present" in kinds else None


class _Reader:
    def __init__(
        self, sentence: Sentence, vocabulary: Vocabulary, side_denials: frozenset[int]
    ) -> None:
        self.sentence = sentence
        self.vocabulary = vocabulary
        self.tokens = sentence.tokens
        self.end = len(sentence.tokens)
        self.scopes = Scopes(sentence, vocabulary)
        self.mentions = sentence.mentions
        self.joint_at = {joint.first: joint for joint in sentence.joints}
        self.triggers = [t for t in sentence.triggers if t.first not in side_denials]
        self.cuts = sorted(
            (at, last)
            for name in ("ends", "exceptions")
            for at, last in sentence.marks.get(name, {}).items()
            if at not in sentence.held
        )

    def read(self, asks: bool) -> list[Reading]:
        forces: list[Force | None] = [None] * len(self.mentions)
        before, after = self._directions()
        for low, high in self._clauses():
            self._forward(low, high, before, forces)
        kinds: list[Kind] = [force.kind if force else "present" for force in forces]
        kinds = [
            "present" if kind == "absent" and self._changes(mention) else kind
            for mention, kind in zip(self.mentions, kinds, strict=True)
        ]
        past = [force.in_past if force else False for force in forces]
        lasts = [False] * len(kinds)  # "the previously seen effusion has not resolved"
        for trigger, group in after:
            for i in self._targets(trigger, group):
                if group.kind == "absent" and self._is_contrast(self.mentions[i], trigger):
                    continue  # "seen on CT but not detected on the radiograph"
                if kinds[i] == "uncertain" and self._doubts(trigger, group, forces[i]):
                    continue
                kinds[i] = _behind(forces[i], kinds[i], group.kind)
                lasts[i] = lasts[i] or group.kind == "present"
                past[i] = past[i] and group.kind != "present"
            if group.kind == "gone":
                for i in self._neither(self._targets(trigger, group), forces):
                    kinds[i] = "present"
        return [
            self._reading(mention, kind, in_past, asks, is_today)
            for mention, kind, in_past, is_today in zip(
                self.mentions, kinds, past, lasts, strict=True
            )
        ]

    def _doubts(self, trigger: Trigger, group: TriggerGroup, force: Force | None) -> bool:
        """Whether a doubt stays in spite of what follows: "suggests a nodule, not seen on PA"."""
        if group.kind != "present" or group.direction != "after" or force is None:
            return False
        words = (token.word for token in self.tokens[trigger.first : trigger.last])
        negates = any(word in self.vocabulary.file.barriers for word in words)
        return negates or not force.has_mention

    def _neither(self, targets: list[int], forces: list[Force | None]) -> list[int]:
        """Mentions of a list that denies its end: "neither effusion nor oedema has resolved"."""
        words = self.vocabulary.file.classes.get("neither", ())
        listed = [
            i
            for i, force in enumerate(forces)
            if force and self.tokens[force.last - 1].word in words
        ]
        return listed if set(targets) & set(listed) else []

    def _changes(self, mention: Mention) -> bool:
        """Whether it is its change that is denied: "no significant pneumothorax change"."""
        if mention.last >= self.end or not self._closes(mention.last + 1):
            return False
        return self.tokens[mention.last].word in self.vocabulary.file.classes.get("change", ())

    def _reading(
        self, mention: Mention, kind: Kind, in_past: bool, asks: bool, is_today: bool
    ) -> Reading:
        if mention.how == "normal":
            return Reading("absent")
        if kind == "hypothetical":
            return Reading("present", is_said=False)
        if kind == "gone":
            return Reading("absent", historical=True)
        if mention.how == "doubtful" and kind == "present":
            kind = "uncertain"
        if asks and kind != "absent":
            return Reading("uncertain", in_past)
        current = is_today or self._is_current(mention)
        if kind == "history":
            return Reading("present", historical=not current)
        seen_before = not current and self._seen_before(mention)
        if kind == "present" and seen_before:
            seen_before = not any(
                self.tokens[at].word in self.vocabulary.file.today for at in self._around(mention)
            )
        if kind == "absent":
            return Reading("absent", historical=in_past or seen_before)
        if kind == "uncertain":
            return Reading("uncertain", historical=in_past and not current)
        return Reading("present", historical=seen_before)

    # ------------------------------------------------------------ where things stand

    def _clauses(self) -> list[tuple[int, int]]:
        """Ranges of tokens between words such as "but"."""
        clauses, low = [], 0
        for at, last in self.cuts:
            if at >= low:
                clauses.append((low, at))
                low = last
        return [*clauses, (low, self.end)]

    def _clause_of(self, at: int) -> tuple[int, int]:
        return next(((a, b) for a, b in self._clauses() if a <= at < b), (0, self.end))

    def _directions(
        self,
    ) -> tuple[dict[int, tuple[Trigger, TriggerGroup]], list[tuple[Trigger, TriggerGroup]]]:
        """Sort triggers into those that reach forward and those that reach back."""
        before: dict[int, tuple[Trigger, TriggerGroup]] = {}
        after = []
        for trigger in self.triggers:
            ahead = [g for g in trigger.groups if g.direction in ("before", "both")]
            behind = [g for g in trigger.groups if g.direction in ("after", "both")]
            both = [g for g in trigger.groups if g.direction == "both"]
            if both:
                before[trigger.first] = (trigger, both[0])
                after.append((trigger, both[0]))
            elif ahead and not behind:
                if self._is_answer(trigger, ahead[0]):
                    after.append((trigger, ahead[0]))
                else:
                    before[trigger.first] = (trigger, ahead[0])
            elif ahead and not self._stands_behind(trigger, behind[0]):
                before[trigger.first] = (trigger, ahead[0])
            elif self._looks_ahead(trigger, behind[0]):
                before[trigger.first] = (trigger, behind[0])  # "opacity is likely atelectasis"
            else:
                after.append((trigger, behind[0]))
        return before, after

    def _looks_ahead(self, trigger: Trigger, group: TriggerGroup) -> bool:
        """Whether none stands before what speaks of the one before: "is likely atelectasis"."""
        words = [token.word for token in self.tokens[trigger.first : trigger.last]]
        denies = any(word in self.vocabulary.file.barriers for word in words)
        if group.kind != "uncertain" and not (group.kind == "gone" and denies):
            return False
        return not self._targets(trigger, group)

    def _closes(self, at: int) -> bool:
        """Whether nothing follows that a trigger could speak of: a comma, the end."""
        return (
            at >= self.end
            or at in self.joint_at
            or any(at == first for first, _ in self.cuts)
            or self.tokens[at].word in (")", "]", ".", "!", "?")
        )

    def _is_answer(self, trigger: Trigger, group: TriggerGroup) -> bool:
        """Whether it stands behind its finding as an answer: "pneumothorax: no"."""
        if group.kind not in ("absent", "uncertain", "present") or not self._closes(trigger.last):
            return False
        return self._follows_mention(trigger)

    def _follows_mention(self, trigger: Trigger) -> bool:
        """Whether only words that name nothing stand between a mention and a trigger."""
        at = trigger.first - 1
        while at >= 0:
            if any(m.first <= at < m.last for m in self.mentions):
                return True
            word = self.tokens[at].word
            is_comma = at in self.joint_at and self.joint_at[at].kind != "break"
            empty = word in self.vocabulary.function or at in self.sentence.held
            if is_comma or (word[0].isalnum() and not empty and not word.endswith("ly")):
                return False
            at -= 1
        return False

    def _stands_behind(self, trigger: Trigger, group: TriggerGroup) -> bool:
        at = trigger.first - 1
        closes = self._closes(trigger.last)
        if closes and self._follows_mention(trigger):
            return True
        joint = self.joint_at.get(at)
        if closes and joint and joint.kind == "comma" and group.kind == "gone":
            return any(m.last == at for m in self.mentions)  # "effusion, no longer present"
        while at >= 0 and (
            self.tokens[at].word in (":", "-", "–", "=")
            or (closes and self.tokens[at].word in self.vocabulary.verbs)
        ):
            at -= 1
        if at < 0:
            return False
        word = self.tokens[at].word
        is_subject = (
            word[0].isalnum()
            and not word.endswith("ly")
            and at not in self.joint_at
            and word not in self.vocabulary.function
        )
        if not is_subject:
            return False
        if closes or group.kind == "gone":
            return True
        return self.tokens[trigger.last].word in self.vocabulary.file.sides.place

    # ------------------------------------------------------------ forward

    def _forward(
        self,
        low: int,
        high: int,
        before: dict[int, tuple[Trigger, TriggerGroup]],
        forces: list[Force | None],
    ) -> None:
        force: Force | None = None
        doubt = False
        at = low
        while at < high:
            if at in before:
                trigger, group = before[at]
                force = self._composed(force, trigger, group, doubt)
                doubt = doubt or force.kind == "uncertain"
                at = trigger.last
                continue
            joint = self.joint_at.get(at)
            if joint is not None:
                if force is not None and self.scopes.ends(force, joint, high):
                    force = None
                at = joint.last
                continue
            here = [i for i, mention in enumerate(self.mentions) if mention.first == at]
            if here:
                for i in here:
                    forces[i] = force
                at = self.mentions[here[0]].last
                if force is not None:
                    is_noun = force.group.reach == "noun"
                    force = None if is_noun else replace(force, has_noun=True, has_mention=True)
                continue
            if force is not None:
                if self.tokens[at].word in force.group.ends or self._is_property(force, at):
                    force = None
                elif not force.has_noun and self._is_noun(at):
                    force = replace(force, has_noun=True)
            at += 1

    def _is_property(self, force: Force, at: int) -> bool:
        """Whether what is denied is said of a finding: "no loculation of the right effusion"."""
        place = self.vocabulary.file.sides.place
        if force.kind != "absent" or not force.has_noun or self.tokens[at].word not in place:
            return False
        if at + 1 >= self.end or self.tokens[at + 1].word not in self.vocabulary.file.refers:
            return False
        first = next((m.first for m in self.mentions if m.first > at), self.end)
        if first == self.end or first - at > 2 + _ADJECTIVES:
            return False
        held, verbs = self.sentence.held, self.vocabulary.verbs
        return not any(
            word in held or word in self.joint_at or self.tokens[word].word in {*place, *verbs}
            for word in range(at + 1, first)
        )

    def _is_noun(self, at: int) -> bool:
        word = self.tokens[at].word
        describes = any(
            self.sentence.marked(name, at) for name in ("new_statement", "sizes", "large")
        )
        return word[0].isalnum() and word not in self.vocabulary.function and not describes

    def _composed(
        self, force: Force | None, trigger: Trigger, group: TriggerGroup, doubt: bool
    ) -> Force:
        """Read a trigger together with the one that it stands beside."""
        kind: Kind = group.kind
        if kind == "contrast":
            kind = "uncertain" if doubt else "absent"
        is_phrase = trigger.last - trigger.first > 1  # "no acute findings"
        new = Force(kind, group, trigger.last, is_phrase, in_past=kind == "history")
        if force is None:
            return new
        if force.kind == "hypothetical":
            return replace(force, last=trigger.last)
        if force.has_mention or trigger.first - force.last > _ADJACENT:
            return new
        if force.kind == "absent" and kind in ("present", "uncertain", "history"):
            negates = self.tokens[trigger.first].word in self.vocabulary.file.barriers
            if not negates:
                return replace(force, last=trigger.last, has_noun=False, in_past=kind == "history")
        if force.kind == "absent" and kind == "gone":
            return replace(new, kind="present")
        if force.kind == "uncertain" and kind in ("present", "history"):
            negates = self.tokens[trigger.first].word in self.vocabulary.file.barriers
            if not negates:
                return replace(force, last=trigger.last, in_past=kind == "history")
        return new

    # ------------------------------------------------------------ back

    def _bare_comma_before(self, at: int) -> bool:
        before = self.mentions[at - 1].last if at else 0
        joint = self.joint_at.get(before)
        return joint is not None and joint.kind == "comma"

    def _targets(self, trigger: Trigger, group: TriggerGroup) -> list[int]:
        """Mentions that a trigger behind them speaks of: the list that ends before it."""
        behind = [i for i, m in enumerate(self.mentions) if m.last <= trigger.first]
        if not behind:
            return []
        last = behind[-1]
        gap = range(self.mentions[last].last, trigger.first)
        if len(gap) > _BACK or not self._reaches_back(gap):
            return []
        if group.kind == "present" and self._bare_comma_before(last):
            return [last]  # "cannot exclude effusion, pneumothorax is present"
        targets = [last]
        for i in reversed(behind[:-1]):
            if not in_one_list(self.sentence, self.vocabulary, i, i + 1, back=True):
                break
            targets.append(i)
        return targets

    def _is_contrast(self, mention: Mention, trigger: Trigger) -> bool:
        """Whether a finding was seen one way and, as is said behind it, not another way."""
        gap = range(mention.last, trigger.first)
        cut = any(at in gap for at, _ in self.cuts)
        joint = next((joint.first for joint in self.sentence.joints if joint.first in gap), 0)
        seen = self.vocabulary.file.classes.get("seen", ())
        shown = any(self.tokens[at].word in seen for at in range(mention.last, joint))
        return (cut or shown) and not self._seen_before(mention)

    def _reaches_back(self, gap: range) -> bool:
        """Whether no other subject stands between a finding and a trigger behind it."""
        turns = [joint.last for at in gap if (joint := self.joint_at.get(at))]
        turns += [last for at, last in self.cuts if at in gap]
        if not turns:
            return True
        has_cut = any(at in gap for at, _ in self.cuts)
        for at in range(max(turns), gap.stop):
            word = self.tokens[at].word
            if word in self.vocabulary.function or word.endswith("ly"):
                continue
            if not word[0].isalpha():
                continue
            if has_cut or not self.vocabulary.plain.longest(self.tokens, at, self.end):
                return False
        return True

    # ------------------------------------------------------------ then and now

    def _around(self, mention: Mention) -> range:
        """Words that speak of a mention: from the one before it to where another begins."""
        low = max((m.last for m in self.mentions if m.last <= mention.first), default=0)
        high = min((m.first for m in self.mentions if m.first >= mention.last), default=self.end)
        for at in range(mention.last, high):
            joint = self.joint_at.get(at)
            if joint and joint.last < self.end:
                word = self.tokens[joint.last].word
                if any(t.first == joint.last and _is_of_next(t) for t in self.triggers):
                    return range(low, at)  # "history of fractures, now with effusion"
                is_still = self.sentence.marked("still", joint.last)
                if not is_still and word not in self.vocabulary.function:
                    return range(low, at)
        return range(low, high)

    def _is_current(self, mention: Mention) -> bool:
        around = self._around(mention)
        return self.sentence.any_marked("still", around.start, around.stop)

    def _seen_before(self, mention: Mention) -> bool:
        low, high = self._clause_of(mention.first)
        return self.sentence.any_marked("previously", low, high)


def _is_of_next(trigger: Trigger) -> bool:
    return all(group.direction == "before" for group in trigger.groups)


def _behind(force: Force | None, kind: Kind, behind: Kind) -> Kind:
    """What a trigger behind a finding makes of what is in force before it."""
    if kind == "hypothetical":
        return kind
    if kind == "present" and behind == "gone" and force and force.group.reach == "clause":
        return kind  # "until the effusion has cleared"
    if kind == "absent" and behind in ("uncertain", "present"):
        return kind
    return behind
