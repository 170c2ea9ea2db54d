"""Pseudonyms and date shifts under the library's key, and masking of names in paths."""

from medembed.privacy.identity import Claim, ResolvedPatient, fold_id, is_placeholder, merge_claims
from medembed.privacy.path_masking import PathMask, name_keys, name_tokens
from medembed.privacy.pseudonyms import Pseudonymizer, new_key

__all__ = [
    "Claim",
    "PathMask",
    "Pseudonymizer",
    "ResolvedPatient",
    "fold_id",
    "is_placeholder",
    "merge_claims",
    "name_keys",
    "name_tokens",
    "new_key",
]
