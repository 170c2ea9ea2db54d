"""The lead side markers that a radiographer places beside the patient."""

from __future__ import annotations

import numpy as np

from medembed.sources.synthetic.shapes import Floats

__all__ = ["stamp"]

_GLYPHS = {
    "L": ("1....", "1....", "1....", "1....", "1....", "1....", "11111"),
    "R": ("1111.", "1...1", "1...1", "1111.", "1.1..", "1..1.", "1...1"),
}


def stamp(image: Floats, view: str, rng: np.random.Generator) -> Floats:
    """Draw a side marker on a radiograph.

    Parameters
    ----------
    image : float32 array (rows, columns), 0 to 1
    view : {"PA", "AP", "LATERAL"}
    rng : numpy Generator
        Chooses letter and place.

    Returns
    -------
    float32 array (rows, columns)
        In a frontal view, R is at the left of the image and L at the right.
    """
    letter = "L" if view == "LATERAL" or rng.random() < 0.6 else "R"
    size = image.shape[0]
    scale = max(1, size // 190)
    glyph = np.array([[c == "1" for c in row] for row in _GLYPHS[letter]])
    glyph = np.kron(glyph, np.ones((scale, scale), bool))
    high, wide = glyph.shape
    top = int(size * rng.uniform(0.03, 0.08))
    inset = int(size * rng.uniform(0.02, 0.06))
    left = size - inset - wide if letter == "L" else inset
    out = image.copy()
    out[top : top + high, left : left + wide][glyph] = 0.97
    return out
