"""Reach of a trigger before findings: the joint at which a new statement begins."""

from __future__ import annotations

from dataclasses import dataclass

from medembed.notes.enumerations import next_joint
from medembed.notes.lexicon import Joint, Sentence
from medembed.notes.vocabulary import Vocabulary
from medembed.notes.vocabulary_file import Kind, TriggerGroup

__all__ = ["Force", "Scopes"]

_BEGINNINGS = ("new_statement", "sizes", "large")
"""Marks that may begin a new statement after a joint."""


@dataclass(frozen=True)
class Force:
    """The trigger in force at a word.

    Parameters
    ----------
    kind : str
        Of the trigger, as read with those beside it.
    group : TriggerGroup
    last : int
        Token behind the trigger.
    is_phrase : bool
        Whether the trigger is of several words: "no acute findings".
    has_noun, has_mention : bool
        Whether it has reached a noun, or a finding, yet.
    in_past : bool
        Whether a trigger of history stands with it.
    """

    kind: Kind
    group: TriggerGroup
    last: int
    is_phrase: bool = False
    has_noun: bool = False
    has_mention: bool = False
    in_past: bool = False


class Scopes:
    """Where triggers cease to act in one sentence.

    Parameters
    ----------
    sentence : Sentence
    vocabulary : Vocabulary
    """

    def __init__(self, sentence: Sentence, vocabulary: Vocabulary) -> None:
        self.sentence = sentence
        self.vocabulary = vocabulary
        self.tokens = sentence.tokens
        self.end = len(sentence.tokens)
        self.mentions = sentence.mentions
        self.joint_at = {joint.first: joint for joint in sentence.joints}

    def ends(self, force: Force, joint: Joint, high: int) -> bool:
        """Return whether a force ends at a joint because a new statement begins after it."""
        at = joint.last
        if force.group.reach == "clause" or at >= high:
            return False
        if not force.has_noun and not (force.is_phrase and joint.first == force.last):
            return False  # "no right, left or bilateral effusion"
        if joint.kind == "break" or force.group.reach == "noun":
            return True
        if joint.kind == "or":
            return False
        if joint.kind == "with" and force.kind in ("gone", "history"):
            return True
        if joint.kind == "with" and self.tokens[at].word in self.vocabulary.file.refers:
            return True  # "no rib fracture with the pneumothorax"
        stop = next_joint(self.sentence, at, high)
        marked = {name for name in _BEGINNINGS if self.sentence.marked(name, at)}
        if self.tokens[at].word[0].isdigit():
            return True
        or_follows = self._or_follows(joint, high)
        if force.kind != "absent":
            # "history of heart failure, cardiomegaly": what is past is no finding of a list
            begins = joint.kind in ("comma", "paren") and not force.has_mention and not or_follows
            begins = begins or (
                force.kind == "history" and joint.kind == "comma" and self._has_side(at, stop)
            )  # "previous tuberculosis, scarring at the right apex"
            of_past = force.kind == "history"  # "history of breast cancer, chest port"
            placed = self._device_begins(at, stop, or_follows=or_follows or not of_past)
            return bool(marked) or begins or placed
        return self._denial_ends(joint, stop, high, marked)

    def _denial_ends(self, joint: Joint, stop: int, high: int, marked: set[str]) -> bool:
        """Return whether a negation ends at a joint; unlike a doubt it continues to an "or"."""
        at = joint.last
        or_follows = self._or_follows(joint, high)
        if self._device_begins(at, stop, or_follows):
            return True
        if not or_follows and self._verb_follows(joint, stop):
            return True
        if joint.kind == "comma" and not or_follows and self._accompanied(at, stop, high):
            return True  # "no infiltrate, COPD with bullae"
        has_side = self._has_side(at, stop)
        if has_side and joint.kind == "comma" and not or_follows:
            return True  # "no abnormality of the heart, emphysema of both lungs"
        if "new_statement" in marked:
            return not (or_follows and self._has_side(at, at + 1))
        if "sizes" in marked:
            return has_side or not or_follows
        if "large" in marked:
            return not or_follows and (has_side or not self._bare_item(stop, high))
        return False

    def _or_follows(self, joint: Joint, high: int) -> bool:
        ors = self.vocabulary.file.ors
        return any(
            joint.last <= at < high
            for at in (
                *(j.first for j in self.sentence.joints if j.kind == "or"),
                *(t.first for t in self.sentence.triggers if self.tokens[t.first].word in ors),
            )
        )

    def _accompanied(self, low: int, high: int, end: int) -> bool:
        """Whether a joint precedes something that is not a finding, beside a finding."""
        following = self.joint_at.get(high)
        if following is None or following.kind != "with" or following.last >= end:
            return False
        return not any(low <= m.first < high for m in self.mentions)

    def _has_side(self, low: int, high: int) -> bool:
        return any(
            self.vocabulary.sides.longest(self.tokens, at, self.end)
            for at in range(low, min(high, self.end))
        )

    def _bare_item(self, at: int, high: int) -> bool:
        """Whether another list item without a size follows a joint."""
        joint = self.joint_at.get(at)
        if joint is None or joint.last >= high:
            return False
        if any(self.sentence.marked(name, joint.last) for name in _BEGINNINGS):
            return False
        stop = next_joint(self.sentence, joint.last, high)
        return any(joint.last <= m.first < stop for m in self.mentions)

    def _device_begins(self, low: int, high: int, or_follows: bool) -> bool:
        entries = self.vocabulary.findings
        devices = [m for m in self.mentions if m.label and entries[m.label].device]
        if not any(low <= m.first < high for m in devices):
            return False
        if self.sentence.any_marked("placed", low, high):
            return True
        before = [m for m in self.mentions if m.last <= low]
        return not or_follows and not (before and before[-1] in devices)

    def _verb_follows(self, joint: Joint, high: int) -> bool:
        """Whether a finding is the subject of its own verb: "…, the effusion has grown".

        "No effusion and consolidation is seen" has one verb for all of its list.
        """
        seen = self.vocabulary.file.classes.get("seen", ())
        inside = [m for m in self.mentions if joint.last <= m.first < high]
        if not inside:
            return False
        for at in range(inside[0].last, high):
            if self.tokens[at].word in self.vocabulary.verbs:
                following = [t.word for t in self.tokens[at + 1 : at + 4]]
                return joint.kind in ("comma", "paren") or not any(
                    word in seen for word in following
                )
        return False
