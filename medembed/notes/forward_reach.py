"""Effect of triggers on the findings after them, word by word.

A trigger is in force over the enumeration that begins there, up to a joint where a new statement
begins ("no pneumonia, small effusion"). Adjacent triggers combine: "no history of" denies,
"possible old" is uncertain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from medembed.notes.lexicon import Sentence, Trigger
from medembed.notes.scopes import Force, Scopes
from medembed.notes.vocabulary import Vocabulary
from medembed.notes.vocabulary_file import Kind, TriggerGroup

__all__ = ["ForwardReach"]

_ADJACENT = 3  # most words between two triggers that combine
_ADJECTIVES = 4  # most words between "the" and its finding: "the left upper lobe consolidation"


class ForwardReach:
    """The reach of triggers over the findings that follow them in one sentence.

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
        self.scopes = Scopes(sentence, vocabulary)
        self.mentions = sentence.mentions
        self.joint_at = {joint.first: joint for joint in sentence.joints}

    def apply(
        self,
        low: int,
        high: int,
        before: Mapping[int, tuple[Trigger, TriggerGroup]],
        forces: list[Force | None],
    ) -> None:
        """Set the force of each mention in one clause.

        Parameters
        ----------
        low, high : int
            Tokens of the clause.
        before : mapping of int to (Trigger, TriggerGroup)
            Triggers that act forward, by their first token.
        forces : list of Force or None
            One for each mention; changed in place.
        """
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
        """Return whether a property is denied: "no loculation of the right effusion"."""
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
        """Combine a trigger with the one in force before it."""
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
