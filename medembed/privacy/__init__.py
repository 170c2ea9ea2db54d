"""Pseudonyms and shifted dates under the library's own key, and paths that name nobody."""

from medembed.privacy.paths import PathMask, name_tokens
from medembed.privacy.pseudonyms import Pseudonymiser, new_key

__all__ = ["PathMask", "Pseudonymiser", "name_tokens", "new_key"]
