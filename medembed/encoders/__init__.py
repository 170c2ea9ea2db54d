"""Image and text encoders, by name; each is imported on first use.

Other packages register theirs under the entry points ``medembed.image_encoders`` and
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
    ("resnet10", "ResNet10 of MONAI, 2D or 3D, from scratch; configurable widths"),
    ("resnet18", "ResNet18 of MONAI, 2D or 3D, from scratch"),
    ("resnet34", "ResNet34 of MONAI, 2D or 3D, from scratch"),
    ("resnet50", "ResNet50 of MONAI, 2D or 3D, from scratch"),
    ("vit", "vision transformer of MONAI, 2D or 3D, from scratch"),
):
    IMAGE_ENCODERS.register(_name, f"medembed.encoders.monai:{_name.upper()}", _summary)
IMAGE_ENCODERS.register(
    "efficientnet-lite0",
    "medembed.encoders.pretrained:EFFICIENTNET_LITE0",
    "EfficientNet-lite0, ImageNet weights from the package index, 2D; needs the starter's weights",
)
IMAGE_ENCODERS.register(
    "hub",
    "medembed.encoders.hub_image:HUB_IMAGE",
    "any published image encoder (transformers, open_clip, MONAI bundle), from a folder or a hub",
)
for _name, _summary in (
    ("torchxrayvision", "DenseNet of TorchXRayVision for radiographs, 2D, from its weights"),
    ("medicalnet", "ResNet of MedicalNet for CT and MR, 3D, from its weights"),
    ("swin-unetr", "Swin encoder of SwinUNETR or of its pretraining, 3D, from its weights"),
):
    IMAGE_ENCODERS.register(
        _name,
        f"medembed.encoders.medical_image:{_name.replace('-', '_').upper()}",
        _summary,
    )
IMAGE_ENCODERS.register(
    "toy", "medembed.encoders.toy:TOY_IMAGE", "means of the four quadrants, 2D; for tests"
)
TEXT_ENCODERS.register(
    "bert",
    "medembed.encoders.bert:BERT",
    "small BERT with its own WordPiece vocabulary, from scratch",
)
TEXT_ENCODERS.register(
    "hub",
    "medembed.encoders.huggingface:HUB",
    "any published text encoder (transformers, sentence-transformers, open_clip)",
)
TEXT_ENCODERS.register(
    "minilm",
    "medembed.encoders.pretrained:MINILM",
    "MiniLM weights from the package index; needs the starter's weights",
)
TEXT_ENCODERS.register(
    "ngrams",
    "medembed.encoders.ngrams:NGRAMS",
    "words and pairs of words, from scratch; for a few thousand notes",
)
TEXT_ENCODERS.register(
    "toy", "medembed.encoders.toy:TOY_TEXT", "counts words by their length; for tests"
)
