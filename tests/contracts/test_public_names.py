"""What a package offers is what it names: ``__all__`` is true everywhere."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import evaluation
import medembed


def packages() -> list[str]:
    return ["medembed", "evaluation"] + [
        f"medembed.{m.name}" for m in pkgutil.iter_modules(medembed.__path__) if m.name != "cli"
    ]


@pytest.mark.parametrize("name", packages())
def test_all_names_exist(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__all__ == sorted(module.__all__, key=_isort_key), name
    for public in module.__all__:
        assert getattr(module, public) is not None


def _isort_key(name: str) -> tuple[int, str]:
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name


@pytest.mark.parametrize("name", packages())
def test_every_public_thing_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    for public in module.__all__:
        thing = getattr(module, public)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            own = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
            generated = f"{public}("  # what dataclass writes where there is none
            assert own, f"{name}.{public}"
            assert not own.startswith(generated), f"{name}.{public}"


def test_the_promised_names_are_there() -> None:
    for name in ("CaseLibrary", "CaseLookup", "CaseIndex", "DualEncoder", "Scan", "Note", "Case"):
        assert name in medembed.__all__
        assert getattr(medembed, name)
    assert callable(evaluation.retrieval_scores)


@pytest.mark.parametrize(
    "module",
    [
        "medembed",
        "medembed.scans",
        "medembed.notes",
        "medembed.cases",
        "medembed.sources",
        "medembed.library",
        "medembed.embeddings",
        "medembed.index",
        "medembed.lookup",
        "medembed.model.resolve",
        "evaluation",
        "evaluation.library_audit",
        "evaluation.retrieval.library",
    ],
)
def test_nothing_before_the_encoders_loads_torch(module: str) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
