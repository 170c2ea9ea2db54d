"""Check a published encoder before anything is trained: what it is, and that it is read rightly.

Its vectors here are compared with those that its own library makes of the same generated inputs,
and with those of a model folder that was saved and loaded.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from medembed.encoders import IMAGE_ENCODERS, TEXT_ENCODERS
from medembed.encoders.checkpoint import Checkpoint, open_checkpoint
from medembed.encoders.hub_image import library_of
from medembed.encoders.own_library import own_image_vectors, own_text_vectors, stated_license
from medembed.encoders.settings import ImageSettings, TextSettings
from medembed.encoders.transformers_image import FAMILIES
from medembed.errors import ConfigError, ModelError
from medembed.model.dual_encoder import DualEncoder
from medembed.model.towers import ProjectionSettings, build_towers
from medembed.preprocess import Preprocess
from medembed.scans import Scan

__all__ = ["EncoderCheck", "Side", "check_encoder"]

Side = Literal["image", "text"]
Vectors = npt.NDArray[np.float32]

TOLERANCE = 1e-4
"""Largest difference of two vectors, in units of their largest value, that counts as equal."""

_TEXTS = (
    "No acute cardiopulmonary abnormality.",
    "Small left pleural effusion with adjacent atelectasis; heart size is at the upper limit.",
    "Interval placement of an endotracheal tube, with its tip 3.5 cm above the carina.",
)
_PAIRS = ("clip", "siglip", "align")
_OWN_FILES = ("torchxrayvision", "medicalnet", "swin-unetr")


@dataclass(frozen=True)
class EncoderCheck:
    """The outcome of :func:`check_encoder` for one side.

    Parameters
    ----------
    name : str
    side : {"image", "text"}
    library : str
        ``"transformers"``, ``"open_clip"``, ``"monai"`` or the encoder's name.
    kind : str
        Type of the network, as its settings call it.
    license : str or None
        As its README states it.
    width : int
        Dimensions of its vector.
    parameters : int
    preprocess : dict
        Settings of the preprocessing (image) or the tokens (text).
    left_out : dict of str to int or None
        Number of weights of the checkpoint that are not used, by the first part of their names;
        None for a text side, whose loading refuses weights that it does not know.
    own_library : float or None
        Largest difference from the vectors of its own library, relative to their largest value.
    not_compared : str
        Why it was not compared with its own library.
    round_trip : float
        Largest difference of unit vectors after a model folder was saved and loaded.
    finite : bool
    ms_each : float
        Milliseconds for one input, in batches of eight, on this machine as it is now.
    """

    name: str
    side: Side
    library: str
    kind: str
    license: str | None
    width: int
    parameters: int
    preprocess: dict[str, Any]
    left_out: dict[str, int] | None = None
    own_library: float | None = None
    not_compared: str = ""
    round_trip: float = 0.0
    finite: bool = True
    ms_each: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether nothing that was checked is wrong."""
        same = self.own_library is None or self.own_library <= TOLERANCE
        return self.finite and same and self.round_trip <= TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name, and whether it passed."""
        return {**asdict(self), "passed": self.passed}


def check_encoder(
    source: str, side: Side, *, encoder: str = "hub", revision: str = "main"
) -> EncoderCheck:
    """Load one side of an encoder and check it.

    Parameters
    ----------
    source : str
        A folder, or a name on the hub.
    side : {"image", "text"}
    encoder : str
        Name in :data:`medembed.encoders.IMAGE_ENCODERS` or ``TEXT_ENCODERS``.
    revision : str

    Raises
    ------
    MedEmbedError
        If it cannot be loaded; the message says what is wrong with it.
    """
    options = {"source": source, "revision": revision}
    if side == "image":
        return _check_image(source, encoder, options)
    return _check_text(source, encoder, options)


def sides_of(source: str, encoder: str = "hub", revision: str = "main") -> tuple[Side, ...]:
    """Say which sides a checkpoint has."""
    if encoder in _OWN_FILES:
        return ("image",)
    checkpoint = open_checkpoint(source, revision)
    if checkpoint.has("open_clip_config.json"):
        return ("image", "text")
    if checkpoint.has("configs/metadata.json"):
        return ("image",)
    kind = str(checkpoint.config.get("model_type") or "")
    if kind in _PAIRS:
        return ("image", "text")
    return ("image",) if kind in FAMILIES else ("text",)


def _check_image(source: str, encoder: str, options: dict[str, Any]) -> EncoderCheck:
    entry = IMAGE_ENCODERS[encoder]
    if entry.preprocess is None:
        raise ConfigError(
            f"the image encoder {encoder!r} is not read from a checkpoint",
            hint="check-encoder is for encoders that were trained elsewhere",
        )
    checked = entry.options(**options)
    preprocess = Preprocess.from_config(entry.preprocess(checked))
    settings = ImageSettings(encoder=encoder, options=options)
    towers, tokens, architecture = build_towers(
        settings,
        TextSettings(encoder="toy"),
        ProjectionSettings(dim=32),
        dimensions=preprocess.dimensions,
        size=preprocess.shape[1:],
    )
    towers.eval()
    module = towers.image.encoder
    scans = _scans(preprocess.dimensions)
    pixels = torch.from_numpy(np.concatenate([preprocess(scan) for scan in scans]))
    with torch.no_grad():
        vectors: Vectors = towers.image.features(pixels).numpy()
        eight = pixels[:1].expand(8 if preprocess.dimensions == 2 else 1, *pixels.shape[1:])
        start = time.perf_counter()
        towers.image(eight)
        seconds = (time.perf_counter() - start) / len(eight)
    model = DualEncoder(architecture, preprocess, tokens, towers)
    before = model.encode_scans(scans)
    with tempfile.TemporaryDirectory() as folder:
        again = DualEncoder.load(model.save(Path(folder) / "model")).encode_scans(scans)
    checkpoint = None if Path(source).is_file() else open_checkpoint(source, options["revision"])
    library = encoder if encoder != "hub" or checkpoint is None else library_of(checkpoint)
    theirs, reason = None, "these weights are loaded into MONAI's own network"
    if library == "transformers" and checkpoint is not None:
        theirs, reason = own_image_vectors(checkpoint, [scan.pixels for scan in scans]), ""
    elif library == "open_clip":
        reason = "open_clip is not needed here, and its code is not run"
    architecture_kept = getattr(module, "kept_options", {}).get("architecture", {})
    kind = str(architecture_kept.get("kind") or architecture_kept.get("network") or encoder)
    return EncoderCheck(
        checkpoint.name if checkpoint else Path(source).name,
        "image",
        library,
        kind,
        stated_license(checkpoint),
        vectors.shape[1],
        sum(p.numel() for p in module.parameters()),
        preprocess.config,
        _grouped(getattr(module, "left_out", ())),
        None if theirs is None else _apart(vectors, theirs),
        reason,
        float(np.abs(before - again).max()),
        bool(np.isfinite(vectors).all()),
        1000 * seconds,
    )


def _check_text(source: str, encoder: str, options: dict[str, Any]) -> EncoderCheck:
    entry = TEXT_ENCODERS[encoder]
    if "source" not in entry.options.model_fields:
        raise ConfigError(
            f"the text encoder {encoder!r} is not read from a checkpoint",
            hint="check-encoder is for encoders that were trained elsewhere",
        )
    checkpoint = open_checkpoint(source, options["revision"])
    texts = list(_TEXTS)
    towers, tokens, architecture = build_towers(
        ImageSettings(encoder="toy", pooling="grid", grid=2),
        TextSettings(encoder=encoder, options=options, max_length=512),
        ProjectionSettings(dim=32),
        dimensions=2,
        size=(32, 32),
    )
    towers.eval()
    ids, mask = tokens(texts)
    with torch.no_grad():
        start = time.perf_counter()
        vectors: Vectors = towers.text.features(
            torch.from_numpy(ids), torch.from_numpy(mask)
        ).numpy()
        seconds = (time.perf_counter() - start) / len(texts)
    model = DualEncoder(architecture, Preprocess(size=32), tokens, towers)
    before = model.encode_notes(texts)
    with tempfile.TemporaryDirectory() as folder:
        again = DualEncoder.load(model.save(Path(folder) / "model")).encode_notes(texts)
    library = _library_of_text(checkpoint)
    pooling = str(getattr(towers.text.encoder, "pooling", ""))
    theirs, reason = own_text_vectors(checkpoint, texts, pooling, tokens.max_length)
    return EncoderCheck(
        checkpoint.name,
        "text",
        library,
        str(checkpoint.config.get("model_type") or library),
        stated_license(checkpoint),
        vectors.shape[1],
        sum(p.numel() for p in towers.text.encoder.parameters()),
        {"tokens": tokens.max_length, "pooling": pooling},
        None,
        None if theirs is None else _apart(vectors, theirs),
        reason,
        float(np.abs(before - again).max()),
        bool(np.isfinite(vectors).all()),
        1000 * seconds,
    )


def _library_of_text(checkpoint: Checkpoint) -> str:
    if checkpoint.has("open_clip_config.json"):
        return "open_clip"
    return "sentence-transformers" if checkpoint.has("modules.json") else "transformers"


def _scans(dimensions: int) -> list[Scan]:
    """Make pictures of 8 bits with odd sides, or small volumes: smooth shapes and noise."""
    rng = np.random.default_rng(0)
    scans = []
    for shape in ((301, 257), (240, 333)) if dimensions == 2 else ((24, 45, 51), (20, 64, 48)):
        axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
        smooth = sum(np.cos(3 * axis + rng.uniform(0, 6)) for axis in axes)
        values = 128 + 30 * smooth + rng.normal(0, 12, shape)
        scans.append(Scan(values.clip(0, 255).round().astype(np.float32)))
    return scans


def _apart(ours: Vectors, theirs: Vectors) -> float:
    if ours.shape != theirs.shape:
        raise ModelError(
            f"its own library makes vectors of {theirs.shape[1]} dimensions, "
            f"and here they have {ours.shape[1]}"
        )
    return float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), 1e-12))


def _grouped(keys: Iterable[str]) -> dict[str, int]:
    return dict(Counter(key.partition(".")[0] for key in keys))
