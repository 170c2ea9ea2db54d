"""Detection of findings in one list, which share their status."""

from __future__ import annotations

from medembed.notes.lexicon import Sentence
from medembed.notes.vocabulary import Vocabulary

__all__ = ["in_one_list", "next_joint"]

_MOST_WORDS = 5


def next_joint(sentence: Sentence, at: int, end: int) -> int:
    """Return the position of the next comma, "and" or similar from a token on; else ``end``."""
    return min((j.first for j in sentence.joints if at <= j.first < end), default=end)


def in_one_list(
    sentence: Sentence,
    vocabulary: Vocabulary,
    one: int,
    other: int,
    *,
    comma: bool = True,
    back: bool = False,
) -> bool:
    """Return whether only a joint and a few descriptive words are between two mentions.

    Parameters
    ----------
    sentence : Sentence
    vocabulary : Vocabulary
    one, other : int
        Mentions in the order of the text.
    comma : bool
        Whether a bare comma joins too.
    back : bool
        For a trigger after the list: a comma before a size or side then begins a new statement.
    """
    first, second = sentence.mentions[one], sentence.mentions[other]
    if first.first == second.first:
        return True  # one word names two findings
    joint = next((j for j in sentence.joints if j.first == first.last), None)
    words = range(joint.last if joint else first.last, second.first)
    if joint is None:
        held = next((t for t in sentence.triggers if t.first == first.last), None)
        if held is None or not any(group.direction == "both" for group in held.groups):
            return False  # other than "versus"
        words = range(held.last, second.first)
    elif joint.kind in ("break", "paren") or (not comma and joint.kind == "comma"):
        return False
    if joint and back and joint.kind == "comma":
        names = ("new_statement", "sizes", "large")
        if any(sentence.marked(name, joint.last) for name in names):
            return False
    if len(words) > _MOST_WORDS:
        return False
    triggered = {at for t in sentence.triggers for at in range(t.first, t.last)}
    closing = {*vocabulary.verbs, *vocabulary.file.sides.place, *vocabulary.relations}
    for at in words:
        word = sentence.tokens[at].word
        if at in triggered or word in closing or any(j.first == at for j in sentence.joints):
            return False
        if sentence.marked("ends", at) or sentence.marked("exceptions", at):
            return False
        if not word[0].isalnum() and word not in "-'>":
            return False
    return True
