"""A graph does arithmetic and nothing else."""

from __future__ import annotations

import pytest
import torch

from medembed.errors import ModelError
from medembed.model.aten_interpreter import ALLOWED, Graph
from medembed.model.export import export_graph


def graph_of(*nodes: dict[str, object], output: str) -> dict[str, object]:
    return {"inputs": ["x"], "output": output, "batch": "any", "length": None, "nodes": [*nodes]}


def node(name: str, op: str, *args: object, **kwargs: object) -> dict[str, object]:
    return {"name": name, "op": op, "args": list(args), "kwargs": kwargs}


def test_steps_are_run_in_order() -> None:
    description = graph_of(
        node("a", "aten.add.Tensor", {"result": "x"}, {"weight": "w"}, alpha=2),
        node("b", "aten.sum.dim_IntList", {"result": "a"}, [1]),
        output="b",
    )
    out = Graph(description, {"w": torch.tensor([1.0, 2.0])})(torch.zeros(3, 2))
    assert out.tolist() == [6.0, 6.0, 6.0]


@pytest.mark.parametrize(
    "op",
    ["aten.from_file.default", "aten.rand.default", "prims.add.default", "os.system", "aten.add"],
)
def test_an_operation_that_is_not_allowed_is_refused_at_loading(op: str) -> None:
    with pytest.raises(ModelError, match="not allowed"):
        Graph(graph_of(node("a", op, {"result": "x"}), output="a"), {})


@pytest.mark.parametrize(
    "arguments",
    [[{"result": "later"}], [{"weight": "missing"}], [[{"result": "x"}, {"result": "y"}]]],
)
def test_results_and_weights_that_are_not_there_are_refused(arguments: list[object]) -> None:
    with pytest.raises(ModelError):
        Graph(graph_of(node("a", "aten.cat.default", *arguments), output="a"), {})


def test_every_allowed_operation_exists() -> None:
    for name in ALLOWED:
        _, function, overload = name.split(".")
        assert hasattr(getattr(torch.ops.aten, function), overload), name


def test_none_of_the_allowed_operations_draws_or_reads() -> None:
    assert not [name for name in ALLOWED if any(w in name for w in ("rand", "file", "bernoulli"))]


class _TwoWays(torch.nn.Module):
    """Changes its input in place and reads a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.register_buffer("offset", torch.arange(3.0), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear(x)
        y.relu_()
        return y + self.offset


def test_steps_in_place_and_constants_survive_the_export() -> None:
    torch.manual_seed(0)
    side = _TwoWays()
    x = torch.randn(5, 4)
    exported = export_graph(side, (x,), "image.")
    assert exported is not None
    description, constants = exported
    assert "image.offset" not in side.state_dict()
    weights = {f"image.{k}": v for k, v in side.state_dict().items()}
    assert torch.equal(Graph(description, {**weights, **constants})(x[:2]), side(x[:2]))
