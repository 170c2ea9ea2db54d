"""Between towers and the bytes of a model folder. Imported only to save or to train on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch

from medembed.encoders.tokenizers import Tokens
from medembed.errors import ModelError
from medembed.model.export import export_graph
from medembed.model.towers import Towers, restore_towers
from medembed.preprocess import Preprocess

__all__ = ["pack", "unpack"]


def pack(towers: Towers, tokens: Tokens, preprocess: Preprocess) -> dict[str, bytes]:
    """Make the files of a model folder, but for ``model.json``.

    Returns
    -------
    dict of file name to bytes
    """
    from safetensors.torch import save

    device = next(towers.parameters()).device
    state = {name: tensor.detach() for name, tensor in towers.state_dict().items()}
    images = torch.linspace(-1, 1, 2 * int(torch.tensor(preprocess.shape).prod()), device=device)
    length = tokens.max_length
    ids, mask = tokens(["note " * length, "a short one " * (length // 8 + 1)], length)
    text = (torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device))
    graphs: dict[str, Any] = {}
    constants: dict[str, torch.Tensor] = {}
    for name, exported in (
        ("image", export_graph(towers.image, (images.reshape(2, *preprocess.shape),), "image.")),
        ("text", export_graph(towers.text, text, "text.", sequence=True)),
    ):
        if exported is not None:
            graphs[name] = exported[0]
            constants.update(exported[1])
    weights = {k: v.cpu().contiguous().clone() for k, v in {**state, **constants}.items()}
    files = {"weights.safetensors": save(weights), **tokens.files()}
    if graphs:
        files["graph.json"] = json.dumps(graphs).encode()
    return files


def unpack(architecture: dict[str, Any], weights: Mapping[str, torch.Tensor]) -> Towers:
    """Make the towers of a saved model.

    Raises
    ------
    ModelError
        Where the weights are not those of the architecture.
    """
    towers = restore_towers(architecture)
    wanted = towers.state_dict().keys()
    try:
        towers.load_state_dict({name: weights[name] for name in wanted}, strict=True)
    except (KeyError, RuntimeError) as error:
        raise ModelError("the weights do not fit the model's architecture") from error
    return towers
