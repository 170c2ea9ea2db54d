"""A complete model whose vectors can be computed by hand."""

from __future__ import annotations

from medembed.model.dual_encoder import DualEncoder
from medembed.preprocess import Preprocess

__all__ = ["toy_model"]


def toy_model(size: int = 32) -> DualEncoder:
    """Build the toy model; nothing is trained.

    Its image vector is the means of the four quadrants (upper left, upper right, lower left,
    lower right) of the image stretched to [0, 1]; its text vector counts words by their number of
    letters modulo 4. Both are scaled to norm 1.

    Parameters
    ----------
    size : int
        Height and width to which images are resized; must be even.

    Examples
    --------
    >>> import numpy as np
    >>> vectors = toy_model().encode_notes(["left lung", "a nodule at"])
    >>> np.allclose(vectors * [[2], [5**0.5]], [[2, 0, 0, 0], [0, 1, 2, 0]])
    True
    """
    from medembed.encoders.settings import ImageSettings, TextSettings
    from medembed.model.towers import ProjectionSettings, build_towers

    preprocess = Preprocess(size=size, window="range", hu_window="range", mean=0.0, std=1.0)
    towers, tokens, architecture = build_towers(
        ImageSettings(encoder="toy", pooling="grid", grid=2),
        TextSettings(encoder="toy", max_length=64),
        ProjectionSettings(dim=4, kind="none"),
        dimensions=2,
        size=(size, size),
    )
    return DualEncoder(architecture, preprocess, tokens, towers)
