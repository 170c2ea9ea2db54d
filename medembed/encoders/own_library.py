"""The vectors that a checkpoint's own library makes, as the reference of a check."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medembed.encoders.checkpoint import Checkpoint
from medembed.encoders.transformers_net import quiet
from medembed.errors import ModelError

__all__ = ["own_image_vectors", "own_text_vectors", "stated_license"]

Vectors = npt.NDArray[np.float32]
_PAIRS = ("clip", "siglip", "align")


def own_image_vectors(
    checkpoint: Checkpoint, pictures: Sequence[npt.NDArray[np.float32]]
) -> Vectors:
    """Encode 8-bit pictures by transformers' own image processor, model and pooling.

    Parameters
    ----------
    checkpoint : Checkpoint
    pictures : sequence of float32 array, shape ``(h, w)``
        Whole numbers from 0 to 255.

    Returns
    -------
    float32 array, shape ``(n, width)``
    """
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel

    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            processor = AutoImageProcessor.from_pretrained(checkpoint.folder, backend="pil")
            model = _model(AutoModel, checkpoint)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise ModelError("transformers itself cannot load it", where=checkpoint.name) from error
        images = [Image.fromarray(p.astype(np.uint8)).convert("RGB") for p in pictures]
        channels = int(getattr(model.config, "num_channels", 3) or 3)
        if channels == 1:
            images = [image.convert("L") for image in images]
        with torch.no_grad():
            rows = [_image_vector(model, processor, image) for image in images]
    return torch.cat(rows).numpy()


def _image_vector(model: Any, processor: Any, image: Any) -> torch.Tensor:
    pixels = processor(images=image, return_tensors="pt")["pixel_values"]
    if hasattr(model, "get_image_features"):
        features = model.get_image_features(pixel_values=pixels)
        found = features if isinstance(features, torch.Tensor) else features.pooler_output
    else:
        outputs = model(pixel_values=pixels)
        first = model.config.model_type in ("vit", "deit")
        found = outputs.last_hidden_state[:, 0] if first else outputs.pooler_output
    return torch.as_tensor(found).flatten(1).float()


def own_text_vectors(
    checkpoint: Checkpoint, texts: Sequence[str], pooling: str, length: int
) -> tuple[Vectors | None, str]:
    """Encode texts by sentence-transformers or transformers, if they make one vector of a text.

    Parameters
    ----------
    checkpoint : Checkpoint
    texts : sequence of str
    pooling : str
        The pooling of the hidden states that is compared: ``"mean"``, ``"cls"`` or ``"last"``.
    length : int
        Tokens after which texts are truncated.

    Returns
    -------
    vectors : float32 array ``(n, width)`` or None
    reason : str
        Why there are none.
    """
    if checkpoint.has("open_clip_config.json"):
        return None, "open_clip is not needed here, and its code is not run"
    if checkpoint.has("modules.json"):
        return _sentence_vectors(checkpoint, texts)
    from transformers import AutoModel, AutoTokenizer

    kind = str(checkpoint.config.get("model_type"))
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, trust_remote_code=False)
            model = _model(AutoModel, checkpoint)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise ModelError("transformers itself cannot load it", where=checkpoint.name) from error
        rows = []
        for text in texts:  # one at a time: no padding
            padding = "max_length" if kind.startswith("siglip") else False
            batch = tokenizer(
                [text], return_tensors="pt", truncation=True, max_length=length, padding=padding
            )
            with torch.no_grad():
                row = _text_vector(model, batch, kind, pooling)
            if row is None:
                return None, f"transformers itself has no {pooling} pooling"
            rows.append(row)
    return torch.cat(rows).float().numpy(), ""


def _text_vector(model: Any, batch: Any, kind: str, pooling: str) -> torch.Tensor | None:
    batch.pop("token_type_ids", None)
    if kind in _PAIRS:
        features = model.get_text_features(**batch)
        found = features if isinstance(features, torch.Tensor) else features.pooler_output
        return torch.as_tensor(found)
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    hidden = torch.as_tensor(model(**batch).last_hidden_state)
    pooled = {"mean": hidden.mean(dim=1), "cls": hidden[:, 0], "last": hidden[:, -1]}
    return pooled.get(pooling)


def _sentence_vectors(checkpoint: Checkpoint, texts: Sequence[str]) -> tuple[Vectors | None, str]:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return None, "sentence-transformers is not installed"
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SentenceTransformer(str(checkpoint.folder), device="cpu", trust_remote_code=False)
        found = model.encode(list(texts), convert_to_numpy=True, show_progress_bar=False)
    return np.asarray(found, np.float32), ""


def _model(auto: Any, checkpoint: Checkpoint) -> Any:
    return auto.from_pretrained(
        checkpoint.folder,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
    ).eval()


def stated_license(checkpoint: Checkpoint | None) -> str | None:
    """Return the license in the front matter of a checkpoint's README; None if not stated."""
    if checkpoint is None:
        return None
    try:
        text = (checkpoint.folder / "README.md").read_text("utf-8", errors="replace")[:8192]
    except OSError:
        return None
    front = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", text, re.DOTALL)
    if front is None:
        return None
    lines = dict(re.findall(r"^(license(?:_name|_link)?):\s*(.+?)\s*$", front[1], re.MULTILINE))
    named = lines.get("license_name") if lines.get("license") == "other" else lines.get("license")
    return str(named).strip("'\"") if named else lines.get("license")
