"""Run a tower from a plain JSON graph of ATen operations, with torch alone.

A graph is a list of steps, each the name of an allowed operation and its arguments: numbers,
earlier results, weights by name. There is no code in it, so a folder from elsewhere can do no more
than arithmetic. :mod:`medembed.model.export` writes graphs; docs/decisions/0005 has the reasons.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch

from medembed.errors import ModelError

__all__ = ["ALLOWED", "Graph"]

_NAMES = """
__and__.Tensor __or__.Tensor _adaptive_avg_pool2d.default _adaptive_avg_pool3d.default
_unsafe_view.default abs.default adaptive_avg_pool2d.default adaptive_avg_pool3d.default
adaptive_max_pool2d.default adaptive_max_pool3d.default add.Scalar add.Tensor add_.Tensor
alias.default amax.default arange.default arange.start arange.start_step avg_pool2d.default
avg_pool3d.default batch_norm.default bitwise_and.Tensor bitwise_not.default bitwise_or.Tensor
bmm.default cat.default chunk.default clamp.default clamp_min.default clone.default
constant_pad_nd.default contiguous.default conv2d.default conv2d.padding conv3d.default
conv3d.padding cumsum.default detach_.default div.Scalar div.Tensor dropout.default
dropout_.default einsum.default elu.default embedding.default eq.Scalar eq.Tensor erf.default
exp.default expand.default flatten.using_ints full.default full_like.default gather.default
ge.Scalar ge.Tensor gelu.default gt.Scalar gt.Tensor hardswish.default hardswish_.default
hardtanh.default hardtanh_.default index.Tensor index_select.default instance_norm.default
layer_norm.default le.Scalar le.Tensor leaky_relu.default leaky_relu_.default linear.default
log.default logical_and.default logical_not.default logical_or.default lt.Scalar lt.Tensor
masked_fill.Scalar masked_fill.Tensor matmul.default max_pool2d.default max_pool3d.default
maximum.default mean.default mean.dim minimum.default mul.Scalar mul.Tensor mul_.Tensor
ne.Scalar ne.Tensor neg.default new_ones.default new_zeros.default ones.default
ones_like.default pad.default permute.default pow.Tensor_Scalar relu.default relu6.default
relu6_.default relu_.default repeat.default reshape.default rsqrt.default rsub.Scalar
scaled_dot_product_attention.default select.int sigmoid.default silu.default silu_.default
slice.Tensor softmax.int split.Tensor split_with_sizes.default sqrt.default squeeze.dim
stack.default sub.Scalar sub.Tensor sub_.Tensor sum.default sum.dim_IntList swapaxes.default
sym_size.int t.default tanh.default tile.default to.device to.dtype to.dtype_layout
transpose.int type_as.default unbind.int unflatten.int unsqueeze.default view.default
where.ScalarOther where.ScalarSelf where.self zeros.default zeros_like.default
"""

ALLOWED = frozenset(f"aten.{name}" for name in _NAMES.split())
"""Operations that a graph may name; none reads a file, the clock or a random number."""

_PYTHON: Mapping[str, Callable[..., Any]] = {
    "python.add": operator.add,
    "python.sub": operator.sub,
    "python.mul": operator.mul,
    "python.floordiv": operator.floordiv,
    "python.getitem": operator.getitem,
}

_DTYPES: Mapping[str, torch.dtype] = {
    name: getattr(torch, name) for name in ("float32", "float64", "int64", "int32", "bool")
}


class Graph:
    """A tower as a list of ATen steps.

    Parameters
    ----------
    description : mapping
        ``{"inputs": […], "output": name, "batch": "any" | n, "length": "any" | n | None,
        "nodes": [{"name", "op", "args", "kwargs"}, …]}``.
    weights : mapping of str to Tensor
        Those that the steps name.

    Raises
    ------
    ModelError
        Where a step names an operation outside :data:`ALLOWED`, a weight that is not there, or a
        result that does not come before it.
    """

    def __init__(self, description: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
        try:
            self.batch: int | str = description["batch"]
            self.length: int | str | None = description["length"]
            self._inputs = [str(name) for name in description["inputs"]]
            self._output = str(description["output"])
            known = set(self._inputs)
            self._steps: list[tuple[str, Callable[..., Any], Any, dict[str, Any]]] = []
            for node in description["nodes"]:
                self._check(node["args"], known, weights)
                self._check(node["kwargs"], known, weights)
                self._steps.append(
                    (node["name"], _operation(node["op"]), node["args"], node["kwargs"])
                )
                known.add(node["name"])
            if self._output not in known:
                raise KeyError(self._output)
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError("the model's graph does not fit its weights") from error
        self._weights = weights
        self._last_use = self._find_last_uses()

    def _check(self, value: Any, known: set[str], weights: Mapping[str, torch.Tensor]) -> None:
        if isinstance(value, list):
            for part in value:
                self._check(part, known, weights)
        elif isinstance(value, dict):
            if "result" in value and value["result"] not in known:
                raise KeyError(value["result"])
            if "weight" in value and value["weight"] not in weights:
                raise KeyError(value["weight"])
            for part in value.values():
                self._check(part, known, weights)

    def _find_last_uses(self) -> list[list[str]]:
        last: dict[str, int] = {}

        def visit(value: Any, at: int) -> None:
            if isinstance(value, list):
                for part in value:
                    visit(part, at)
            elif isinstance(value, dict):
                if "result" in value:
                    last[value["result"]] = at
                for part in value.values():
                    visit(part, at)

        for at, (_, _, args, kwargs) in enumerate(self._steps):
            visit(args, at)
            visit(kwargs, at)
        gone: list[list[str]] = [[] for _ in self._steps]
        for name, at in last.items():
            if name != self._output:
                gone[at].append(name)
        return gone

    @torch.no_grad()
    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Run the steps on tensors shaped as in training, ``(n, …)``."""
        results: dict[str, Any] = dict(zip(self._inputs, inputs, strict=True))
        device = inputs[0].device

        def value_of(value: Any) -> Any:
            if isinstance(value, list):
                return [value_of(part) for part in value]
            if not isinstance(value, dict):
                return value
            if "result" in value:
                return results[value["result"]]
            if "weight" in value:
                return self._weights[value["weight"]]
            if "dtype" in value:
                return _DTYPES[value["dtype"]]
            if "device" in value:
                return device
            return {key: value_of(part) for key, part in value.items()}

        for (name, operation, args, kwargs), gone in zip(self._steps, self._last_use, strict=True):
            results[name] = operation(
                *(value_of(a) for a in args), **{k: value_of(v) for k, v in kwargs.items()}
            )
            for used in gone:
                del results[used]
        output: torch.Tensor = results[self._output]
        return output


def _operation(name: str) -> Callable[..., Any]:
    if name in _PYTHON:
        return _PYTHON[name]
    if name not in ALLOWED:
        raise ModelError(f"the model's graph asks for {name!r}, which is not allowed")
    _, function, overload = name.split(".")
    found: Callable[..., Any] = getattr(getattr(torch.ops.aten, function), overload)
    return found
