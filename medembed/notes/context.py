"""Whether a clause says that a finding is there, is not, or may be: rules after ConText.

A trigger before a finding reaches forward to the end of its clause or to a turn in it, one behind
reaches back over a list. The nearest one before decides; one behind overrides it.

References
----------
Harkema H, Dowling JN, Thornblade T, Chapman WW. ConText: an algorithm for determining negation,
experiencer, and temporal status from clinical reports. J Biomed Inform 2009;42:839-851.
"""

# ruff: noqa: E501 -- a table of patterns reads best with one on each line

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from medembed.notes.lexicon import Mention
from medembed.notes.lists import in_one_list
from medembed.notes.note import Status

__all__ = ["Reading", "read_context"]

_Kind = Literal["absent", "uncertain", "gone", "history", "none"]


def _any(*patterns: str) -> str:
    return "|".join(pattern.replace(" ", r"\s+") for pattern in patterns)


_SEEN = (
    r"(?:seen|identified|present|evident|visuali[sz]ed|demonstrated|detected|appreciated|apparent|"
    r"noted|found|shown|visible|observed|recogni[sz]ed|enlarged|suspected)"
)
_DEFINITE = r"(?:clearly |definitely |definitively |convincingly |longer |now |currently )*"
_BE = r"(?:is|are|was|were|has been|have been|be|can be|could be)"

# Before a finding. The longest come first: "no change in" is no "no".
_FORWARD: tuple[tuple[_Kind, str], ...] = (
    ("none", _any(
        r"no (?:\w+ ){0,2}(?:change|increase|decrease|improvement|progression|worsening|difference)"
        r"(?: (?:in|of|from|to|since))?",
        r"(?:not|without) (?:\w+ )?(?:changed?|increased?|decreased?|improved|resolved|cleared)"
        r"(?: (?:in|of))?",
        r"not only", r"no doubt", r"not simply",
        r"consistent with", r"in keeping with", r"compatible with", r"representing", r"due to",
        r"now with",
    )),
    ("uncertain", _any(
        r"can(?:not| not|'t) (?:\w+ )?(?:exclude|rule out|be excluded|be ruled out)",
        r"(?:does|do) not (?:\w+ )?(?:exclude|rule out)", r"difficult to exclude",
        r"not (?:\w+ )?(?:excluded|ruled out)(?: for)?",
        r"to (?:rule out|exclude)", r"rule out", r"r/o", r"evaluat\w+ for", r"assess\w* for",
        r"please exclude",
        r"(?:may|might|could|can) (?:also |well |potentially )?"
        r"(?:represent|reflect|be|indicate|suggest|correspond to|relate to|be due to|be related to)",
        r"possib(?:le|ly)", r"probabl[ey]", r"likely", r"presumed", r"presumably", r"perhaps",
        r"questionable", r"question of", r"equivocal", r"borderline", r"apparent",
        r"suspicio(?:us|n) (?:for|of)", r"suspected", r"suspect", r"concern(?:ing)? (?:for|of)",
        r"worrisome for", r"suggest(?:ive of|ing|s|ed)?(?: of)?", r"differential (?:\w+ )?includes?",
        r"favou?r(?:s|ed|ing)?", r"versus", r"vs\.?", r"either",
    )),
    ("gone", _any(
        r"(?:interval |complete |near-?complete )*(?:resolution|clearance|clearing|removal|disappearance) of",
        r"resolved", r"(?:status post|s/p) (?:removal of|extraction of)", r"removed",
    )),
    ("history", _any(
        r"(?:past |prior |known |remote )?history of", r"h/o", r"status post", r"s/p",
        r"previous(?!ly)", r"prior(?! (?:study|exam\w*|film|radiograph|ct|x-?ray|to))", r"formerly",
        r"treated for", r"admitted (?:with|for)", r"family history of",
    )),
    ("absent", _any(
        r"no (?:\w+ ){0,2}(?:evidence|signs?|indication|suggestion|features?|findings?|convincing evidence)"
        r"(?: (?:of|for|to suggest|to indicate|suggesting|suggestive of))?",
        r"negative for", r"free (?:of|from)", r"clear of", r"absen(?:ce of|t)", r"lack(?:s|ing)?(?: of)?",
        r"den(?:y|ies|ied)", r"without(?: (?:evidence|signs?) of)?", r"neither", r"nor", r"devoid of",
        r"(?:fails?|failed) to (?:show|demonstrate|reveal)", r"unremarkable for", r"never",
        r"(?:do|does|did) not (?:show|demonstrate|reveal|suggest|have|see|identify)",
        r"not (?:show|demonstrate|have|associated with)", r"unlikely(?: to be| to represent)?",
        r"(?:has|have|had) no", r"no", r"not", r"zero",
    )),
)  # fmt: skip

# Behind a finding.
_BACKWARD: tuple[tuple[_Kind, str], ...] = (
    ("uncertain", _any(
        rf"(?:{_BE} )?(?:can(?:not| not|'t)|could not|not) (?:\w+ )?(?:be )?(?:\w+ )?(?:excluded|ruled out)",
        r"(?:is|are|remains?|also|a) (?:\w+ )?(?:possib\w+|probable|suspected|likely|questioned|"
        r"questionable|equivocal|uncertain|considered|possibility)",
        r"(?:should|could|may) be considered", r"(?:may|might|could) (?:be|also be) present",
        r"(?:not|is not|are not) (?:\w+ )?excluded", r"(?:to be|must be) excluded", r"suspected",
        r"in the differential", r"versus", r"vs\.?",
    )),
    ("gone", _any(
        r"(?:has|have|had|is|are|now)(?: \w+)? (?:completely |fully |nearly |largely |now |since |interval )*"
        r"(?:resolved|cleared|disappeared|gone|regressed completely|been removed|been drained)",
        rf"(?:{_BE} )?no longer(?: \w+)?", r"resolved", r"removed",
        rf"{_BE} not {_DEFINITE}{_SEEN} (?:any ?more|anymore|any longer)",
    )),
    ("absent", _any(
        rf"(?:{_BE} |(?:does|do|did) )?(?:not|never) (?:be )?{_DEFINITE}{_SEEN}",
        rf"{_BE} (?:absent|lacking|unlikely|negative|excluded|ruled out|missing)", r"absent",
        r"(?:cannot|could not|can not) be (?:seen|identified|confirmed|demonstrated)",
        r"unlikely", r"none", r"nil", r"(?<=:) (?:no|negative)", r"not (?:\w+ )?confirmed",
    )),
)  # fmt: skip

_STILL = re.compile(
    r"\b(?:unchanged|stable|persist\w*|again|still|remain\w*|(?:in|de)creas\w+|smaller|larger|"
    r"improv\w+|worse\w*|now|similar|progress\w*)\b",
)
_PREVIOUS = re.compile(
    r"\bpreviously[ \t\n]+(?:seen|noted|described|identified|reported|demonstrated|visuali[sz]ed)\b"
    r"|\b(?:seen|noted|described)[ \t\n]+previously\b",
)


def _compiled(groups: tuple[tuple[_Kind, str], ...]) -> re.Pattern[str]:
    parts = "|".join(f"(?P<k{i}>{pattern})" for i, (_, pattern) in enumerate(groups))
    return re.compile(rf"(?<![\w-])(?:{parts})(?![\w-])")


_BEFORE, _AFTER = _compiled(_FORWARD), _compiled(_BACKWARD)
# A list goes on behind a comma with a bare noun, or where an "or" is still to come; with a size
# or a change a new statement begins.
_TURN = re.compile(
    r"(?:,|\band\b|\bwith\b)\s+(?:an?\s+|the\s+)?(?:(?:interval|very|mildly|more)\s+)*"
    r"(?:small|tiny|trace|large|moderate\S*|mild|marked|massive|severe|extensive|minimal|"
    r"stable|unchanged|persist\w+|increas\w+|decreas\w+|new|old|known|patchy|dense|"
    r"left|right|bilateral|bibas\w+|there|heart|cardiac|\d+(?:\.\d+)?\s*[cm]m)\b",
)
_OR = re.compile(r"\b(?:or|nor)\b")


@dataclass(frozen=True)
class Reading:
    """How a clause speaks of a finding.

    Parameters
    ----------
    status : {"present", "absent", "uncertain"}
    historical : bool
    """

    status: Status
    historical: bool = False


def read_context(text: str, start: int, end: int, mentions: Sequence[Mention]) -> list[Reading]:
    """Read one clause.

    Parameters
    ----------
    text : str
        In lower case.
    start, end : int
        Of the clause.
    mentions : sequence of Mention
        Of the clause, in order.

    Returns
    -------
    list of Reading
        One for each mention.
    """
    before = _outside(_BEFORE, text, start, end, mentions)
    after = _outside(_AFTER, text, start, end, mentions)
    kinds: list[_Kind] = [_before_kind(text, mention, before, mentions) for mention in mentions]
    for kind, low, _ in after:
        _apply_backward(text, kind, low, mentions, kinds)
    previous = bool(_PREVIOUS.search(text, start, end)) and not _STILL.search(text, start, end)
    readings = []
    for mention, kind in zip(mentions, kinds, strict=True):
        if mention.is_normal:
            readings.append(Reading("absent"))
        elif kind == "gone":
            readings.append(Reading("absent", historical=True))
        elif kind == "history":
            readings.append(Reading("present", historical=True))
        elif _marked_in_doubt(text, mention, start, end):
            readings.append(Reading("uncertain"))
        elif kind == "absent":
            readings.append(Reading("absent", historical=previous))
        elif kind == "uncertain":
            readings.append(Reading("uncertain"))
        else:
            readings.append(Reading("present", historical=previous))
    return readings


def _outside(
    pattern: re.Pattern[str], text: str, start: int, end: int, mentions: Sequence[Mention]
) -> list[tuple[_Kind, int, int]]:
    """Triggers of a clause that are no part of a mention."""
    groups = _FORWARD if pattern is _BEFORE else _BACKWARD
    found = []
    for match in pattern.finditer(text, start, end):
        inside = any(m.start <= match.start() < m.end for m in mentions)
        if not inside:
            index = int((match.lastgroup or "k0")[1:])
            found.append((groups[index][0], match.start(), match.end()))
    return found


def _before_kind(
    text: str,
    mention: Mention,
    triggers: Sequence[tuple[_Kind, int, int]],
    mentions: Sequence[Mention],
) -> _Kind:
    """Kind of the nearest trigger before a mention that reaches it."""
    for kind, _, high in reversed(triggers):
        if high > mention.start:
            continue
        if kind == "none":
            return "none"
        crossed = [m for m in mentions if high <= m.start < mention.start]
        if not crossed:
            return kind
        gap_start = crossed[-1].end if len(crossed) == 1 else crossed[0].end
        turn = _TURN.search(text, gap_start, mention.end)
        if turn and not (kind == "absent" and _OR.search(text, gap_start, _stop(text, mention))):
            return "none"
        return kind
    return "none"


def _stop(text: str, mention: Mention) -> int:
    return min(len(text), mention.end + 60)


def _apply_backward(
    text: str, kind: _Kind, low: int, mentions: Sequence[Mention], kinds: list[_Kind]
) -> None:
    """Let a trigger behind reach back over the list that ends before it."""
    behind = [i for i, mention in enumerate(mentions) if mention.end <= low]
    if not behind or low - mentions[behind[-1]].end > 60:
        return
    last = behind[-1]
    kinds[last] = kind
    for i in reversed(behind[:-1]):
        if not in_one_list(text, mentions[i], mentions[i + 1]):
            break
        kinds[i] = kind


def _marked_in_doubt(text: str, mention: Mention, start: int, end: int) -> bool:
    """Whether a question mark stands at the finding: ``? effusion``, ``effusion?``."""
    if text[start:end].endswith("?"):
        return True
    before = text[max(start, mention.start - 40) : mention.start]
    after = text[mention.end : min(end, mention.end + 3)]
    return bool(re.search(r"\?\s*(?:\w+\s+){0,3}$", before)) or after.lstrip().startswith("?")
