"""Find reports that were probably filed to the wrong image, ranked for a person to look at.

Four named reasons, each from another source:

* ``content``: by the vectors of a model, other patients' reports fit the image better, and other
  patients' images fit the report better.
* ``side``: the report puts a finding on one side, the image looks like those with it on the other.
* ``view``, ``modality``: the report names another view or modality than the header.

No reason is a verdict, and a case without any is not proven right.
"""

from __future__ import annotations

from medembed.pair_check.check import MIN_PAIRS, check_pairs
from medembed.pair_check.suspects import PairCheck, Reason, ReasonKind, Suspect

__all__ = ["MIN_PAIRS", "PairCheck", "Reason", "ReasonKind", "Suspect", "check_pairs"]
