"""Write tiny checkpoints and their vectors with the code of the libraries that define them.

open_clip 3.3.0, timm 1.0.31 and torchxrayvision 1.5.7 need torchvision, which the tests do without:
their wheels are fetched with ``pip download --no-deps``, unpacked into one folder, and what they
import beyond torch is replaced by empty modules. Their networks are their own code; only the sizes
are small. Run: python tests/encoders/golden/image/make_golden.py FOLDER_OF_UNPACKED_WHEELS
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
ABSENT = (
    "torchvision", "skimage", "requests", "ftfy", "cv2", "imageio", "pydicom", "tifffile",
)  # fmt: skip


class _AnyAttribute(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


class _Anything(ModuleType):
    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnyAttribute(name, (), {})


class _Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name.split(".", maxsplit=1)[0] in ABSENT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        return _Anything(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def images(channels: int, edge: int) -> torch.Tensor:
    rng = np.random.default_rng(7)
    return torch.from_numpy(rng.normal(size=(3, channels, edge, edge)).astype(np.float32))


def spread(model: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            drawn = 0.3 * torch.randn(value.shape, generator=generator)
            near_one = value.ndim == 1 and name.endswith("weight")
            value.copy_((drawn + float(near_one)).half().float())
        for name, value in model.named_buffers():
            if name.endswith("running_mean"):
                value.copy_(0.2 * torch.randn(value.shape, generator=generator).half().float())
    return model.eval()


def keep(name: str, state: dict[str, torch.Tensor], vectors: torch.Tensor, **files: Any) -> None:
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    half = {
        k: v.half().contiguous() if v.is_floating_point() else v.contiguous()
        for k, v in state.items()
    }
    weights = "model.safetensors" if name == "xrv" else "open_clip_model.safetensors"
    save_file(half, folder / weights, {"format": "pt"})
    for file, content in files.items():
        (folder / f"{file}.json").write_text(json.dumps(content, indent=1) + "\n")
    (folder / "vectors.json").write_text(json.dumps(vectors.tolist()) + "\n")


def open_clip_own() -> None:
    from open_clip.model import CLIP

    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 16, "width": 8, "heads": 2, "layers": 1}
    model = spread(CLIP(embed_dim=12, vision_cfg=vision, text_cfg=text, quick_gelu=True))
    config = {
        "model_cfg": {"embed_dim": 12, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]},
    }
    with torch.no_grad():
        vectors = model.encode_image(images(3, 32))
    keep("open_clip", model.state_dict(), vectors, open_clip_config=config)


def open_clip_timm() -> None:
    """BiomedCLIP's kind of image tower."""
    import timm
    from open_clip.timm_model import TimmModel

    made = timm.create_model

    def small(name: str, **settings: Any) -> Any:
        return made(name, **settings, embed_dim=24, depth=2, img_size=32)

    timm.create_model = small
    vision = {
        "timm_model_name": "vit_tiny_patch16_224", "timm_model_pretrained": False,
        "timm_pool": "", "timm_proj": "linear", "image_size": 32,
    }  # fmt: skip
    tower = spread(TimmModel("vit_tiny_patch16_224", 12, 32, pool="", proj="linear"))
    timm.create_model = made
    config = {
        "model_cfg": {"embed_dim": 12, "vision_cfg": vision, "text_cfg": {}},
        "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]},
    }
    with torch.no_grad():
        vectors = tower(images(3, 32))
    state = {f"visual.{key}": value for key, value in tower.state_dict().items()}
    keep("open_clip_timm", state, vectors, open_clip_config=config)


def xrv() -> None:
    from torchxrayvision.models import DenseNet

    model = spread(
        DenseNet(growth_rate=4, block_config=(1, 2, 1, 2), num_init_features=8, num_classes=18)
    )
    with torch.no_grad():
        vectors = model.features2(images(1, 64) * 500)
    keep("xrv", model.state_dict(), vectors)


if __name__ == "__main__":
    sys.meta_path.insert(0, _Absent())
    sys.path.insert(0, sys.argv[1])
    open_clip_own()
    open_clip_timm()
    xrv()
