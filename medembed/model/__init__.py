"""The :class:`DualEncoder`: images and notes in one space, in one folder, without pickle."""

from __future__ import annotations

from medembed.model.dual_encoder import DualEncoder
from medembed.model.embedding import EmbedReport, embed_library, find_model
from medembed.model.toy import toy_model

__all__ = ["DualEncoder", "EmbedReport", "embed_library", "find_model", "toy_model"]
