r"""Phrases of a vocabulary: a small notation, and all of them found in a text in one walk.

The notation has plain words and five signs. It is not a regular expression: a phrase denotes a
bounded number of word sequences, and finding them takes time in proportion to the text.

==================  ==========================================================
``effusion(s)``     what is in parentheses may be missing; ``(a|b)``: a, b or nothing
``[a|b]``           one of them
``atelect*``        any ending of the word
``<size>``          any word of the class ``size``
``~2``              up to two words of any kind, not over ``and``, ``but`` and the like
``\(``               the sign itself
==================  ==========================================================

A blank is any run of blanks and line breaks. A hyphen within a word is a hyphen or a blank;
``air(-)space`` is written together as well. Letter case does not count.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Phrases", "Token", "expand", "tokens_of"]

T = TypeVar("T")

MOST_FORMS = 500
"""More word sequences than this from one group of a phrase are refused."""
_LONGEST = 300
_SHORTEST_STEM = 3
_WORDS = re.compile(r"[^\W_]+|[^\w\s]|_")
_PARTS = re.compile(r"<(\w+)>|~([1-4])|([^\W_]+)(\*?)|([^\w\s]|_)")
_SIGNS = "()[]|*<>~\\"
_ESCAPED = {
    sign: chr(0xE000 + i) for i, sign in enumerate(_SIGNS)
}  # private use area: occurs in no text
_PLAIN = {private: sign for sign, private in _ESCAPED.items()}


@dataclass(frozen=True, slots=True)
class Token:
    """A word or a sign of a text.

    Parameters
    ----------
    word : str
        In lower case.
    start, end : int
    """

    word: str
    start: int
    end: int


def tokens_of(folded: str, start: int = 0, end: int | None = None) -> list[Token]:
    """Return words and signs between two positions of a lower-case text, in order."""
    stop = len(folded) if end is None else end
    return [Token(m.group(), m.start(), m.end()) for m in _WORDS.finditer(folded, start, stop)]


def expand(phrase: str) -> list[str]:
    """Expand a phrase to every word sequence it matches.

    Raises
    ------
    ValueError
        If the notation is invalid or expands too far; the message states the cause.

    Examples
    --------
    >>> expand("(pleural) effusion(s)")
    ['effusion', 'effusions', 'pleural effusion', 'pleural effusions']
    """
    return sorted({form for form in _forms(_protected(phrase)) if form})


def _protected(phrase: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPED.get(m[1], m[1]), phrase.lower())


def _forms(text: str) -> list[str]:
    """Expand a text to its word sequences; "" if it is optional."""
    forms, at = _alternatives(text, 0, "")
    if at != len(text):
        raise ValueError(f"{text[at]!r} without opening bracket")
    spread = [again for form in forms for again in _hyphens(" ".join(form.split()))]
    if len(spread) > MOST_FORMS:
        raise ValueError(f"expands to more than {MOST_FORMS} forms; use a class <...>")
    return list(dict.fromkeys(spread))


def _alternatives(text: str, at: int, closer: str) -> tuple[list[str], int]:
    """Return the forms from ``at`` to ``closer``, and the position of ``closer``."""
    done: list[str] = []
    current = [""]
    while at < len(text) and text[at] != closer:
        sign = text[at]
        if sign in ")]":
            break
        if sign == "|":
            if not closer:
                raise ValueError("'|' is allowed only within ( ) or [ ]")
            done, current, at = done + current, [""], at + 1
        elif sign in "([":
            inner, at = _alternatives(text, at + 1, ")" if sign == "(" else "]")
            if at >= len(text) or text[at] != (")" if sign == "(" else "]"):
                raise ValueError(f"{sign!r} is never closed")
            inner = [*inner, ""] if sign == "(" else inner
            current, at = [a + b for a in current for b in inner], at + 1
        else:
            current, at = [form + sign for form in current], at + 1
        if len(current) + len(done) > MOST_FORMS:
            raise ValueError(f"expands to more than {MOST_FORMS} forms; use a class <...>")
    return done + current, at


def _hyphens(form: str) -> list[str]:
    """Let a hyphen within a word match a blank in the text."""
    forms = [""]
    for part in re.split(r"(?<=\w)-(?=\w)", form):
        forms = [part] if forms == [""] else [a + sign + part for a in forms for sign in "- "]
    return forms


def _chunks(phrase: str) -> Iterator[str]:
    """Split a phrase at blanks, keeping groups together."""
    depth, part = 0, ""
    for sign in phrase:
        if sign.isspace() and not depth:
            if part:
                yield part
            part = ""
            continue
        depth += (sign in "([") - (sign in ")]")
        part += sign
    if part:
        yield part


class _Node(Generic[T]):
    __slots__ = ("any", "classes", "stems", "values", "words")

    def __init__(self) -> None:
        self.words: dict[str, list[_Node[T]]] = {}
        self.stems: dict[str, list[tuple[str, _Node[T]]]] = {}
        self.classes: dict[str, list[_Node[T]]] = {}
        self.any: list[_Node[T]] = []
        self.values: tuple[T, ...] = ()


class Phrases(Generic[T]):
    """Phrases and their meanings; a lookup finds the longest match at a position.

    Each phrase is a small graph of its own, whose nodes are as many as its words: alternatives meet
    again behind their group. All graphs are walked at once.

    Parameters
    ----------
    classes : mapping of str to collection of str
        Words of each class that ``<name>`` may name.
    barriers : collection of str
        Words that ``~2`` does not run over, since another statement may begin behind them.
    """

    def __init__(
        self,
        classes: Mapping[str, Collection[str]] | None = None,
        barriers: Collection[str] = (),
    ) -> None:
        self._root: _Node[T] = _Node()
        self._barriers = frozenset(barriers)
        self._classes = {name: frozenset(words) for name, words in (classes or {}).items()}

    def add(self, phrase: str, value: T) -> None:
        """Add a phrase.

        Raises
        ------
        ValueError
            If its notation is invalid; the message states the cause.
        """
        if len(phrase) > _LONGEST:
            raise ValueError(f"phrase longer than {_LONGEST} characters")
        ends = [self._root]
        for chunk in _chunks(_protected(phrase)):
            forms = _forms(chunk)
            behind: _Node[T] = _Node()
            open_ends = [node for form in forms if form for node in self._link(ends, form, behind)]
            ends = [*(ends if "" in forms else ()), *dict.fromkeys(open_ends)]
        ends = [node for node in ends if node is not self._root]
        if not ends:
            raise ValueError("phrase without a word")
        for node in ends:
            node.values = (*node.values, value)

    def _link(self, ends: list[_Node[T]], form: str, behind: _Node[T]) -> list[_Node[T]]:
        """Lead from all ``ends`` over the words of a form, to the node behind its group."""
        parts = list(_PARTS.finditer(form))
        for i, match in enumerate(parts):
            is_last = i + 1 == len(parts)
            name, count, word, stem, sign = match.groups()
            target: _Node[T] = behind if is_last else _Node()
            if count is not None:
                ends = self._link_any(ends, int(count))
                continue
            for node in ends:
                if name is not None:
                    if name not in self._classes:
                        raise ValueError(f"unknown class {name!r}")
                    node.classes.setdefault(name, []).append(target)
                elif word is not None and stem:
                    if len(word) < _SHORTEST_STEM:
                        raise ValueError(f"a stem needs {_SHORTEST_STEM} letters before its '*'")
                    node.stems.setdefault(word[:_SHORTEST_STEM], []).append((word, target))
                else:
                    plain = word if word is not None else _PLAIN.get(sign, sign)
                    if plain == sign and sign in _SIGNS:
                        raise ValueError(f"{sign!r} has no meaning here; write \\{sign}")
                    node.words.setdefault(plain, []).append(target)
            ends = [target]
        return ends

    def _link_any(self, ends: list[_Node[T]], count: int) -> list[_Node[T]]:
        """Lead over up to ``count`` words of any kind."""
        if self._root in ends:
            raise ValueError("'~' cannot begin a phrase")
        reached = list(ends)
        for _ in range(count):
            target: _Node[T] = _Node()
            for node in ends:
                node.any.append(target)
            ends = [target]
            reached.append(target)
        return reached

    def longest(
        self, tokens: Sequence[Token], at: int, end: int, taken: Collection[int] = ()
    ) -> tuple[int, tuple[T, ...]] | None:
        """Find the longest phrase that begins at a token; see :meth:`all_at`."""
        found = self.all_at(tokens, at, end, taken)
        return found[-1] if found else None

    def all_at(
        self, tokens: Sequence[Token], at: int, end: int, taken: Collection[int] = ()
    ) -> list[tuple[int, tuple[T, ...]]]:
        """Find the phrases that begin at a token, the longest last.

        Parameters
        ----------
        tokens : sequence of Token
        at, end : int
            Half-open range of tokens.
        taken : collection of int
            Tokens that no phrase may reach over.

        Returns
        -------
        list of (int, tuple)
            Token after each match, and its meaning.
        """
        nodes = [self._root]
        found: list[tuple[int, tuple[T, ...]]] = []
        while nodes and at < end and at not in taken:
            word = tokens[at].word
            reached: list[_Node[T]] = []
            for node in nodes:
                reached += node.words.get(word, ())
                if node.stems:
                    for stem, child in node.stems.get(word[:_SHORTEST_STEM], ()):
                        if word.startswith(stem):
                            reached.append(child)
                for name, children in node.classes.items():
                    if word in self._classes[name]:
                        reached += children
                if node.any and word not in self._barriers and word[0].isalnum():
                    reached += node.any
            at += 1
            if len(reached) > 1:
                reached = list(dict.fromkeys(reached))
            values = tuple(value for node in reached for value in node.values)
            if values:
                found.append((at, tuple(dict.fromkeys(values))))
            nodes = reached
        return found
