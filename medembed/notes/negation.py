"""Status of the findings in a sentence, present, absent or uncertain: rules after ConText.

A trigger before a finding acts forward over the enumeration that begins there
(:mod:`medembed.notes.forward_reach`). A trigger after a finding acts back over the enumeration that
ends there, and overrides.

References
----------
Harkema H, Dowling JN, Thornblade T, Chapman WW. ConText: an algorithm for determining negation,
experiencer, and temporal status from clinical reports. J Biomed Inform 2009;42:839-851.
"""

from __future__ import annotations

from dataclasses import dataclass

from medembed.notes.enumerations import in_one_list
from medembed.notes.forward_reach import ForwardReach
from medembed.notes.lexicon import Mention, Sentence, Trigger
from medembed.notes.note import Status
from medembed.notes.patterns import tokens_of
from medembed.notes.scopes import Force
from medembed.notes.vocabulary import Vocabulary
from medembed.notes.vocabulary_file import Kind, TriggerGroup

__all__ = ["ClauseStatus", "read_answer", "read_context"]

_BACK = 14  # most words between a finding and a trigger after it


@dataclass(frozen=True)
class ClauseStatus:
    """Status of a finding in a sentence.

    Parameters
    ----------
    status : {"present", "absent", "uncertain"}
    historical : bool
    is_asserted : bool
        Whether it refers to this study at all: "if an effusion develops" does not.
    """

    status: Status
    historical: bool = False
    is_asserted: bool = True


def read_context(
    sentence: Sentence, vocabulary: Vocabulary, side_denials: frozenset[int], asks: bool
) -> list[ClauseStatus]:
    """Determine the status of each mention in a sentence.

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
    list of ClauseStatus
        One for each mention.
    """
    return _ContextParser(sentence, vocabulary, side_denials).read(asks)


def read_answer(folded: str, start: int, end: int, vocabulary: Vocabulary) -> Status | None:
    """Read a sentence that only answers the question before it, "No."; None if it does not."""
    tokens = tokens_of(folded, start, end)
    while tokens and not tokens[-1].word.isalnum():
        tokens.pop()
    hit = vocabulary.triggers.longest(tokens, 0, len(tokens)) if tokens else None
    if hit is None or (hit[0] != len(tokens) and tokens[hit[0]].word != ","):
        return None
    kinds = {group.kind for group in hit[1]}
    return "absent" if "absent" in kinds else "present" if "present" in kinds else None


class _ContextParser:
    def __init__(
        self, sentence: Sentence, vocabulary: Vocabulary, side_denials: frozenset[int]
    ) -> None:
        self.sentence = sentence
        self.vocabulary = vocabulary
        self.tokens = sentence.tokens
        self.end = len(sentence.tokens)
        self.mentions = sentence.mentions
        self.joint_at = {joint.first: joint for joint in sentence.joints}
        self.triggers = [t for t in sentence.triggers if t.first not in side_denials]
        self.cuts = sorted(
            (at, last)
            for name in ("ends", "exceptions")
            for at, last in sentence.marks.get(name, {}).items()
            if at not in sentence.held
        )

    def read(self, asks: bool) -> list[ClauseStatus]:
        forces: list[Force | None] = [None] * len(self.mentions)
        before, after = self._directions()
        forward = ForwardReach(self.sentence, self.vocabulary)
        for low, high in self._clauses():
            forward.apply(low, high, before, forces)
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
            self._clause_status(mention, kind, in_past, asks, is_today)
            for mention, kind, in_past, is_today in zip(
                self.mentions, kinds, past, lasts, strict=True
            )
        ]

    def _doubts(self, trigger: Trigger, group: TriggerGroup, force: Force | None) -> bool:
        """Whether a finding stays uncertain: "suggests a nodule, not seen on PA"."""
        if group.kind != "present" or group.direction != "after" or force is None:
            return False
        words = (token.word for token in self.tokens[trigger.first : trigger.last])
        negates = any(word in self.vocabulary.file.barriers for word in words)
        return negates or not force.has_mention

    def _neither(self, targets: list[int], forces: list[Force | None]) -> list[int]:
        """Mentions in a "neither ... nor" list: "neither effusion nor edema has resolved"."""
        words = self.vocabulary.file.classes.get("neither", ())
        listed = [
            i
            for i, force in enumerate(forces)
            if force and self.tokens[force.last - 1].word in words
        ]
        return listed if set(targets) & set(listed) else []

    def _changes(self, mention: Mention) -> bool:
        """Whether only a change of the finding is denied: "no significant pneumothorax change"."""
        if mention.last >= self.end or not self._closes(mention.last + 1):
            return False
        return self.tokens[mention.last].word in self.vocabulary.file.classes.get("change", ())

    def _clause_status(
        self, mention: Mention, kind: Kind, in_past: bool, asks: bool, is_today: bool
    ) -> ClauseStatus:
        if mention.how == "normal":
            return ClauseStatus("absent")
        if kind == "hypothetical":
            return ClauseStatus("present", is_asserted=False)
        if kind == "gone":
            return ClauseStatus("absent", historical=True)
        if mention.how == "doubtful" and kind == "present":
            kind = "uncertain"
        if asks and kind != "absent":
            return ClauseStatus("uncertain", in_past)
        current = is_today or self._is_current(mention)
        if kind == "history":
            return ClauseStatus("present", historical=not current)
        seen_before = not current and self._seen_before(mention)
        if kind == "present" and seen_before:
            seen_before = not any(
                self.tokens[at].word in self.vocabulary.file.today for at in self._around(mention)
            )
        if kind == "absent":
            return ClauseStatus("absent", historical=in_past or seen_before)
        if kind == "uncertain":
            return ClauseStatus("uncertain", historical=in_past and not current)
        return ClauseStatus("present", historical=seen_before)

    # ------------------------------------------------------------ clauses and directions

    def _clauses(self) -> list[tuple[int, int]]:
        """Token ranges between words such as "but"."""
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
        """Sort triggers into those that act forward and those that act back."""
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
            elif ahead and not self._follows_finding(trigger, behind[0]):
                before[trigger.first] = (trigger, ahead[0])
            elif self._looks_ahead(trigger, behind[0]):
                before[trigger.first] = (trigger, behind[0])  # "opacity is likely atelectasis"
            else:
                after.append((trigger, behind[0]))
        return before, after

    def _looks_ahead(self, trigger: Trigger, group: TriggerGroup) -> bool:
        """Whether a backward trigger has no finding before it: "is likely atelectasis"."""
        words = [token.word for token in self.tokens[trigger.first : trigger.last]]
        denies = any(word in self.vocabulary.file.barriers for word in words)
        if group.kind != "uncertain" and not (group.kind == "gone" and denies):
            return False
        return not self._targets(trigger, group)

    def _closes(self, at: int) -> bool:
        """Whether nothing follows that a trigger could act on: a comma, the end."""
        return (
            at >= self.end
            or at in self.joint_at
            or any(at == first for first, _ in self.cuts)
            or self.tokens[at].word in (")", "]", ".", "!", "?")
        )

    def _is_answer(self, trigger: Trigger, group: TriggerGroup) -> bool:
        """Whether a trigger follows its finding as an answer: "pneumothorax: no"."""
        if group.kind not in ("absent", "uncertain", "present") or not self._closes(trigger.last):
            return False
        return self._follows_mention(trigger)

    def _follows_mention(self, trigger: Trigger) -> bool:
        """Whether only function words are between a mention and a trigger."""
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

    def _follows_finding(self, trigger: Trigger, group: TriggerGroup) -> bool:
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

    # ------------------------------------------------------------ back

    def _bare_comma_before(self, at: int) -> bool:
        before = self.mentions[at - 1].last if at else 0
        joint = self.joint_at.get(before)
        return joint is not None and joint.kind == "comma"

    def _targets(self, trigger: Trigger, group: TriggerGroup) -> list[int]:
        """Mentions that a trigger after them acts on: the list that ends before it."""
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
        """Whether a finding was seen by one method and not by another, named after it."""
        gap = range(mention.last, trigger.first)
        cut = any(at in gap for at, _ in self.cuts)
        joint = next((joint.first for joint in self.sentence.joints if joint.first in gap), 0)
        seen = self.vocabulary.file.classes.get("seen", ())
        shown = any(self.tokens[at].word in seen for at in range(mention.last, joint))
        return (cut or shown) and not self._seen_before(mention)

    def _reaches_back(self, gap: range) -> bool:
        """Whether no other subject is between a finding and a trigger after it."""
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
        """Words about a mention: from the mention before to the start of the next."""
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
    """Combine a trigger after a finding with the one in force before it."""
    if kind == "hypothetical":
        return kind
    if kind == "present" and behind == "gone" and force and force.group.reach == "clause":
        return kind  # "until the effusion has cleared"
    if kind == "absent" and behind in ("uncertain", "present"):
        return kind
    return behind
