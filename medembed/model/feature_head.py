"""From the features of an image to its vector, without the encoder; imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medembed.errors import ModelError

if TYPE_CHECKING:
    from medembed.model.dual_encoder import DualEncoder

__all__ = ["cut_head", "feature_grid"]


def cut_head(image_side: bytes) -> bytes:
    """Return the part of an image side's ONNX file that reads its features.

    Raises
    ------
    ModelError
        If the file shows no features, as those of earlier versions.
    """
    import onnx.utils  # only explanations come here: a search loads it not

    try:
        whole = onnx.load_from_string(image_side)
        head = onnx.utils.Extractor(whole).extract_model(["features"], ["vectors"])
    except Exception as error:  # it raises anything for names and nodes that are not there
        raise ModelError(f"the image side has no features ({type(error).__name__})") from error
    data: bytes = head.SerializeToString()
    return data


def feature_grid(model: DualEncoder) -> tuple[int, ...] | None:
    """Return the cells along each axis that a model's features keep.

    Features ``(n, width)`` are then ``(n, channels, *grid)`` flattened. None if they keep no
    place, if the image sets of a model with several keep different ones, or if the features are
    the vectors.
    """
    if model.architecture.get("projection", {}).get("kind") == "none":
        return None
    sets = model.architecture.get("image_sets") or [model.architecture["image"]]
    grids = {one.get("grid", 1) if one.get("pooling") == "grid" else 1 for one in sets}
    if len(grids) > 1 or grids == {1}:
        return None
    return (grids.pop(),) * model.dimensions
