"""Pseudonyms and shifted dates under the library's own key, and paths that name nobody."""

from medembed.privacy.identity import Claim, Settled, fold_id, is_placeholder, merge_claims
from medembed.privacy.path_masking import PathMask, name_keys, name_tokens
from medembed.privacy.pseudonyms import Pseudonymiser, new_key

__all__ = [
    "Claim",
    "PathMask",
    "Pseudonymiser",
    "Settled",
    "fold_id",
    "is_placeholder",
    "merge_claims",
    "name_keys",
    "name_tokens",
    "new_key",
]
