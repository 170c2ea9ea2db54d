"""Several heads over frozen features, fused into one vector for each side.

A head maps the features of one image set and one text set to a space of its own. The vector of a
side is the concatenation of its heads' unit vectors, each times the root of the head's weight: the
similarity of an image and a text is then the weighted sum of the heads' cosines. It is a plain
module like any other side, so that a model folder, ONNX and the search need not know of heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from medembed.encoders.settings import Settings

if TYPE_CHECKING:
    from medembed.model.towers import ImageSide, TextSide

__all__ = [
    "FusedImageSide",
    "FusedTextSide",
    "HeadPlan",
    "Heads",
    "WordFeatures",
    "linear_head",
    "restore_fused_image_side",
    "restore_fused_text_side",
]

Floats = npt.NDArray[np.float64]


class HeadPlan(Settings):
    """One head as a model folder describes it.

    Parameters
    ----------
    image : int
        Number of its image set.
    text : {"encoder", "words"}
        Its text set.
    dim : int
        Dimensions of its space.
    weight : float
        Factor of its cosine in the similarity.
    linear : bool
        Whether it is one linear layer with bias, as closed forms are; else it is as ``projection``
        says.
    batch_norm : bool
        Whether its image features are scaled first, in a trained head.
    projection : dict
        :class:`~medembed.model.towers.ProjectionSettings` of a trained head.
    """

    image: int
    text: Literal["encoder", "words"]
    dim: int
    weight: float
    linear: bool
    batch_norm: bool = False
    projection: dict[str, Any] = Field(default_factory=dict)


class Heads(nn.Module):
    """The heads of one side.

    Parameters
    ----------
    parts : sequence of Module
        Each maps its features to its space.
    columns : sequence of (int, int)
        First and last column (exclusive) of each head's features.
    weights : sequence of float
    """

    def __init__(
        self,
        parts: Sequence[nn.Module],
        columns: Sequence[tuple[int, int]],
        weights: Sequence[float],
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self._columns = tuple(columns)
        self._factors = tuple(math.sqrt(weight) for weight in weights)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the fused vectors ``(n, dim)`` of features ``(n, width)``."""
        vectors = [
            factor * functional.normalize(part(features[:, start:stop]), dim=-1)
            for part, (start, stop), factor in zip(
                self.parts, self._columns, self._factors, strict=True
            )
        ]
        return torch.cat(vectors, dim=-1)


def linear_head(matrix: Floats, shift: Floats) -> nn.Linear:
    """Return the layer ``x @ matrix + shift`` in float32."""
    layer = nn.Linear(*matrix.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(matrix.T.astype(np.float32)))
        layer.bias.copy_(torch.from_numpy(shift.astype(np.float32)))
    return layer


class WordFeatures(nn.Module):
    """Which words a text has, as tf-idf reduced to its main directions, from the token ids.

    Rare words tell cases apart, and a frozen sentence encoder blurs them.

    Parameters
    ----------
    vocabulary, width : int
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.architecture = {"vocabulary": vocabulary, "width": width}
        self.register_buffer("table", torch.zeros(vocabulary, width))

    @classmethod
    def fit(
        cls, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64], width: int
    ) -> WordFeatures:
        """Learn weights and directions from training texts.

        Parameters
        ----------
        ids, mask : int64 arrays ``(n, t)``
            Tokens of the texts.
        width : int
            Most directions; few texts have fewer.

        References
        ----------
        Deerwester et al. 1990, Indexing by latent semantic analysis. A token in fewer than two
        texts, or in all, tells nothing.
        """
        size = int(ids.max()) + 1
        used = np.flatnonzero(np.bincount(ids[mask.astype(bool)], minlength=size))
        place = np.full(size, -1)
        place[used] = np.arange(len(used))
        counts = np.zeros((len(ids), len(used)), dtype=np.float32)
        for row, (of_text, real) in enumerate(zip(ids, mask.astype(bool), strict=True)):
            np.add.at(counts[row], place[of_text[real]], 1)
        texts_with = (counts > 0).sum(axis=0)
        telling = (texts_with >= 2) & (texts_with < len(ids))
        idf = np.where(telling, np.log((1 + len(ids)) / (1 + texts_with)), 0).astype(np.float32)
        weighted = counts * idf
        weighted /= np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-9)
        directions = _main_directions(weighted, width)
        words = cls(size, directions.shape[1])
        table = np.zeros((size, directions.shape[1]), dtype=np.float32)
        table[used] = idf[:, None] * directions
        cast(torch.Tensor, words.table).copy_(torch.from_numpy(table))
        return words

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return unit features ``(n, width)``; zeros for a text without a known word."""
        table = cast(torch.Tensor, self.table)
        known = (ids < len(table)).to(table.dtype) * mask.to(table.dtype)
        rows = functional.embedding(ids.clamp_max(len(table) - 1), table)
        summed = (rows * known.unsqueeze(-1)).sum(dim=1)
        return functional.normalize(summed, dim=-1, eps=1e-6)


def _main_directions(rows: npt.NDArray[np.float32], width: int) -> npt.NDArray[np.float32]:
    """Return the first right singular vectors ``(columns, k)``."""
    from scipy.sparse.linalg import svds

    k = min(width, min(rows.shape) - 1)
    if k < 1:
        return np.zeros((rows.shape[1], 1), dtype=np.float32)
    start = np.full(min(rows.shape), 1.0, dtype=np.float32)  # the same result each time
    _, values, right = svds(rows, k=k, v0=start)
    kept = right[np.argsort(-values)][: max(1, int((values > 1e-6 * values.max()).sum()))]
    signs = np.sign(kept[np.arange(len(kept)), np.abs(kept).argmax(axis=1)])
    return np.ascontiguousarray((kept * signs[:, None]).T, dtype=np.float32)


class FusedImageSide(nn.Module):
    """Image sets and heads: pixels to ``(n, dim)``.

    Parameters
    ----------
    sets : sequence of ImageSide
        Used for their features only.
    plans : sequence of HeadPlan
    parts : sequence of Module
        Image side of each head.
    """

    def __init__(
        self, sets: Sequence[ImageSide], plans: Sequence[HeadPlan], parts: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(sets)
        widths = np.cumsum([0, *(part.width for part in sets)]).tolist()
        self.width = widths[-1]
        columns = [(widths[plan.image], widths[plan.image + 1]) for plan in plans]
        self.projection = Heads(parts, columns, [plan.weight for plan in plans])

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Features ``(n, width)`` of all sets."""
        sides = cast("Sequence[ImageSide]", self.encoder)
        return torch.cat([side.features(images) for side in sides], dim=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images to the shared space."""
        return cast(torch.Tensor, self.projection(self.features(images)))


class FusedTextSide(nn.Module):
    """A text encoder, its words if a head reads them, and heads: tokens to ``(n, dim)``.

    Parameters
    ----------
    encoder : Module
    words : WordFeatures or None
    plans : sequence of HeadPlan
    parts : sequence of Module
        Text side of each head.
    """

    def __init__(
        self,
        encoder: nn.Module,
        words: WordFeatures | None,
        plans: Sequence[HeadPlan],
        parts: Sequence[nn.Module],
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.words = words
        inner = cast(int, encoder.width)
        self.width = inner + (words.width if words is not None else 0)
        columns = [(0, inner) if plan.text == "encoder" else (inner, self.width) for plan in plans]
        self.projection = Heads(parts, columns, [plan.weight for plan in plans])

    def features(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Features ``(n, width)`` of the encoder and of the words."""
        features = cast(torch.Tensor, self.encoder(ids, mask))
        if self.words is None:
            return features
        return torch.cat([features, self.words(ids, mask)], dim=1)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map tokens to the shared space."""
        return cast(torch.Tensor, self.projection(self.features(ids, mask)))


def _empty_part(plan: HeadPlan, width: int, *, of_image: bool) -> nn.Module:
    from medembed.model.towers import ProjectionSettings, new_projection

    if plan.linear:
        return nn.Linear(width, plan.dim)
    inner = new_projection(width, ProjectionSettings(**plan.projection))
    if of_image and plan.batch_norm:
        return nn.Sequential(nn.BatchNorm1d(width, affine=False), inner)
    return inner


def restore_fused_image_side(architecture: dict[str, Any]) -> ImageSide:
    """Build the fused image side of a saved model; its weights are not loaded yet."""
    from medembed.model.towers import restore_image_side

    plans = [HeadPlan(**plan) for plan in architecture["heads"]]
    plain = {"kind": "linear", "dim": 1}
    sets = []
    for values in architecture["image_sets"]:
        single = {"image": values, "projection": plain}
        keep = {name: architecture[name] for name in ("dimensions", "size")}
        side = restore_image_side({**keep, **single})
        side.projection = nn.Identity()
        sets.append(side)
    parts = [_empty_part(plan, sets[plan.image].width, of_image=True) for plan in plans]
    return cast("ImageSide", FusedImageSide(sets, plans, parts))


def restore_fused_text_side(architecture: dict[str, Any]) -> TextSide:
    """Build the fused text side of a saved model; its weights are not loaded yet."""
    from medembed.encoders import TEXT_ENCODERS

    plans = [HeadPlan(**plan) for plan in architecture["heads"]]
    text = architecture["text"]
    encoder = TEXT_ENCODERS[text["encoder"]].restore(text["architecture"])
    words = WordFeatures(**architecture["words"]) if architecture["words"] else None
    widths = {"encoder": cast(int, encoder.width), "words": words.width if words else 0}
    parts = [_empty_part(plan, widths[plan.text], of_image=False) for plan in plans]
    return cast("TextSide", FusedTextSide(encoder, words, plans, parts))
