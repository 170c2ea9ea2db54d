"""Image and text encoders, by name; none is imported before it is asked for.

Other packages add theirs by the entry points ``medembed.image_encoders`` and
``medembed.text_encoders``, each an :class:`ImageEncoder` or a :class:`TextEncoder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from medembed.registry import Registry

if TYPE_CHECKING:
    from medembed.encoders.settings import ImageEncoder, TextEncoder

__all__ = ["IMAGE_ENCODERS", "TEXT_ENCODERS"]

IMAGE_ENCODERS: Registry[ImageEncoder] = Registry("image encoder", "medembed.image_encoders")
TEXT_ENCODERS: Registry[TextEncoder] = Registry("text encoder", "medembed.text_encoders")

for _name, _summary in (
    ("densenet121", "DenseNet121 of MONAI, 2D or 3D, from scratch"),
    ("resnet10", "ResNet10 of MONAI, 2D or 3D, from scratch; widths can be narrowed"),
    ("resnet18", "ResNet18 of MONAI, 2D or 3D, from scratch"),
    ("resnet34", "ResNet34 of MONAI, 2D or 3D, from scratch"),
    ("resnet50", "ResNet50 of MONAI, 2D or 3D, from scratch"),
    ("vit", "vision transformer of MONAI, 2D or 3D, from scratch"),
):
    IMAGE_ENCODERS.register(_name, f"medembed.encoders.monai:{_name.upper()}", _summary)
IMAGE_ENCODERS.register(
    "efficientnet-lite0",
    "medembed.encoders.pretrained:EFFICIENTNET_LITE0",
    "EfficientNet-lite0, ImageNet weights from the package index (extra: starter), 2D",
)
IMAGE_ENCODERS.register(
    "toy", "medembed.encoders.toy:TOY_IMAGE", "means of the four quadrants; for tests, 2D"
)
TEXT_ENCODERS.register(
    "bert", "medembed.encoders.bert:BERT", "small BERT with a WordPiece of its own, from scratch"
)
TEXT_ENCODERS.register(
    "hub",
    "medembed.encoders.huggingface:HUB",
    "any transformers encoder: a local folder or a hub name",
)
TEXT_ENCODERS.register(
    "minilm",
    "medembed.encoders.pretrained:MINILM",
    "MiniLM from the package index (extra: starter)",
)
TEXT_ENCODERS.register(
    "toy", "medembed.encoders.toy:TOY_TEXT", "counts words by their length; for tests"
)
