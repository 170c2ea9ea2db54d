"""Write a tower as a graph for :mod:`medembed.model.aten_interpreter`, by ``torch.export``."""

from __future__ import annotations

import logging
import operator
import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from medembed.model.aten_interpreter import Graph

__all__ = ["export_graph"]

_LOG = logging.getLogger(__name__)

TOLERANCE = 1e-5
"""How far a graph may differ from its tower, relative to the largest output."""

_PYTHON_NAMES = {
    operator.add: "python.add",
    operator.sub: "python.sub",
    operator.mul: "python.mul",
    operator.floordiv: "python.floordiv",
    operator.getitem: "python.getitem",
}


_IN_PLACE = re.compile(r"[a-z0-9]_\.")


class _NotPortable(Exception):  # noqa: N818  a turn in the flow, never shown
    """A graph holds something that the interpreter does not know."""


def export_graph(
    side: nn.Module,
    example: tuple[torch.Tensor, ...],
    prefix: str,
    *,
    sequence: bool = False,
) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
    """Export ``side`` in evaluation mode.

    Batch size, and for token inputs the length, are left open where the tower allows it.

    Parameters
    ----------
    side : Module
    example : tuple of Tensor
        Inputs of a batch of at least 2.
    prefix : str
        Put before the names of weights: ``"image."``.
    sequence : bool
        Whether the second axis of the inputs counts tokens.

    Returns
    -------
    (description, constants) or None
        ``constants`` are tensors that are no part of the state dict, to be saved beside it. None
        where the tower cannot be exported or its graph does not give the same numbers.
    """
    was_training = side.training
    side.eval()
    try:
        for open_axes in (("batch", "length"), ("batch",), ()) if sequence else (("batch",), ()):
            try:
                description, constants = _export(side, example, prefix, open_axes)
                if _agrees(side, description, constants, example, prefix):
                    return description, constants
            except Exception as error:  # noqa: BLE001  torch.export raises anything it likes
                _LOG.info("no graph with open axes %s: %s", open_axes, type(error).__name__)
        return None
    finally:
        side.train(was_training)


def _export(
    side: nn.Module,
    example: tuple[torch.Tensor, ...],
    prefix: str,
    open_axes: tuple[str, ...],
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    dims = {
        "batch": torch.export.Dim("batch", min=1, max=65536),
        "length": torch.export.Dim("length", min=2, max=example[0].shape[-1]),
    }
    axes = {at: dims[name] for at, name in enumerate(("batch", "length")) if name in open_axes}
    if not open_axes:
        example = tuple(tensor[:1] for tensor in example)
    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                side, example, dynamic_shapes=tuple(axes for _ in example) if axes else None
            )
    finally:
        logger.setLevel(level)
    return _describe(program, prefix, open_axes, int(example[0].shape[-1]), len(example))


def _describe(
    program: torch.export.ExportedProgram,
    prefix: str,
    open_axes: tuple[str, ...],
    length: int,
    n_inputs: int,
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    signature = program.graph_signature
    named: dict[str, str] = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    constants: dict[str, torch.Tensor] = {}
    weights: dict[str, str] = {}
    for node, target in {**named, **signature.inputs_to_lifted_tensor_constants}.items():
        if target in program.state_dict:
            weights[node] = prefix + target
        else:
            weights[node] = f"{prefix}constant.{target}"
            constants[weights[node]] = program.constants[target].detach().clone().contiguous()
    inputs = list(signature.user_inputs)
    nodes = []
    output = ""
    for node in program.graph.nodes:
        if node.op == "output":
            (result,) = node.args[0]
            output = result.name
        elif node.op == "call_function" and "_assert" not in str(node.target):
            nodes.append(
                {
                    "name": node.name,
                    "op": _name_of(node.target),
                    "args": [_value(a, weights) for a in node.args],
                    "kwargs": {
                        k: _value(v, weights)
                        for k, v in node.kwargs.items()
                        if k not in ("pin_memory", "layout")
                    },
                }
            )
        elif node.op not in ("placeholder", "call_function"):
            raise _NotPortable(node.op)
    description = {
        "batch": "any" if "batch" in open_axes else 1,
        "length": None if n_inputs == 1 else "any" if "length" in open_axes else length,
        "inputs": inputs,
        "output": output,
        "nodes": _without_unused(nodes, output),
    }
    used = {name for name in constants if _mentions(description["nodes"], name)}
    return description, {name: constants[name] for name in used}


def _mentions(value: Any, weight: str) -> bool:
    if isinstance(value, list):
        return any(_mentions(part, weight) for part in value)
    if isinstance(value, dict):
        return value.get("weight") == weight or any(_mentions(p, weight) for p in value.values())
    return False


def _results_in(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*(_results_in(part) for part in value))
    if isinstance(value, dict):
        own = {value["result"]} if "result" in value else set()
        return own.union(*(_results_in(part) for part in value.values()))
    return set()


def _without_unused(nodes: list[dict[str, Any]], output: str) -> list[dict[str, Any]]:
    """Leave out what nothing reads; steps that change their input in place stay."""
    needed = {output}
    kept = []
    for node in reversed(nodes):
        in_place = node["op"].startswith("aten.") and _IN_PLACE.search(node["op"])
        if node["name"] in needed or in_place:
            kept.append(node)
            needed |= _results_in(node["args"]) | _results_in(node["kwargs"])
    return kept[::-1]


def _name_of(target: Any) -> str:
    """Name of an operation; whether it is allowed is asked of the steps that are kept."""
    return _PYTHON_NAMES.get(target) or str(target)


def _value(value: Any, weights: Mapping[str, str]) -> Any:
    if isinstance(value, torch.fx.Node):
        return {"weight": weights[value.name]} if value.name in weights else {"result": value.name}
    if isinstance(value, (list, tuple)):
        return [_value(part, weights) for part in value]
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": "same"}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (torch.layout, torch.memory_format)):
        return None
    raise _NotPortable(type(value).__name__)


@torch.no_grad()
def _agrees(
    side: nn.Module,
    description: dict[str, Any],
    constants: Mapping[str, torch.Tensor],
    example: tuple[torch.Tensor, ...],
    prefix: str,
) -> bool:
    state = {prefix + name: tensor for name, tensor in side.state_dict().items()}
    graph = Graph(description, {**state, **constants})
    trials = [tuple(tensor[:1] for tensor in example)]
    if graph.batch == "any":
        trials.append(example)
    if graph.length == "any":
        trials.append(tuple(tensor[:, :3] for tensor in example))
    for inputs in trials:
        wanted = side(*inputs)
        got = graph(*inputs)
        scale = float(wanted.abs().max().clamp_min(1e-12))
        if got.shape != wanted.shape or float((got - wanted).abs().max()) > TOLERANCE * scale:
            return False
    return True
