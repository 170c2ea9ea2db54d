"""What product code imports is declared, and what is declared is used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = {
    "medembed": ("lora", "milvus", "ray"),
    "evaluation": ("audit",),
    "apps": ("audit", "app", "access", "service"),
}
"""Extras that each package may count on, beside the core."""
PLUGINS = {
    "einops": "MONAI's ViT imports it",
    "onnxscript": "torch writes ONNX files with it",
    "pyjpegls": "pydicom decodes JPEG-LS with it",
    "pylibjpeg": "pydicom finds its decoders by it",
    "pylibjpeg-openjpeg": "pydicom decodes JPEG 2000 with it",
    "pylibjpeg-rle": "pydicom decodes RLE with it",
}
"""Declared, and imported by others only."""
OPTIONAL = {
    "protobuf": "Streamlit's messages are its own, and it brings it along",
    "sentence-transformers": "check-encoder compares a folder with it if it is installed",
}
"""Imported if it is there, and not declared."""


def normalized(requirement: str) -> str:
    """Name of a requirement as PEP 503 writes it."""
    name = re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: Iterable[str]) -> set[str]:
    return {normalized(requirement) for requirement in requirements}


CORE = names(PROJECT["dependencies"])
BY_EXTRA = {k: names(v) for k, v in PROJECT["optional-dependencies"].items()}


def imported(package: str) -> dict[str, set[str]]:
    """Distributions that a package's modules import, with the modules that do."""
    known = packages_distributions()
    found: dict[str, set[str]] = {}
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                tops = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                tops = {(node.module or "").partition(".")[0]}
            else:
                continue
            for top in tops - set(sys.stdlib_module_names) - set(EXTRAS):
                for distribution in known.get(top, [top]):
                    where = found.setdefault(normalized(distribution), set())
                    where.add(file.relative_to(ROOT).as_posix())
    return found


@pytest.mark.parametrize("package", sorted(EXTRAS))
def test_every_import_of_product_code_is_declared(package: str) -> None:
    allowed = CORE.union(*(BY_EXTRA[extra] for extra in EXTRAS[package]))
    missing = {name: where for name, where in imported(package).items() if name not in allowed}
    assert not missing.keys() - set(OPTIONAL)


def test_nothing_is_declared_that_nobody_uses() -> None:
    used = set().union(*(imported(package) for package in EXTRAS))
    declared = CORE | BY_EXTRA["app"] | BY_EXTRA["audit"]
    assert declared - used == set(PLUGINS)


def test_an_undeclared_import_would_be_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "medembed").mkdir()
    (tmp_path / "medembed/module.py").write_text("def f():\n    import somewhere.deep\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert imported("medembed") == {"somewhere": {"medembed/module.py"}}
    assert "somewhere" not in CORE


def test_the_lock_files_pin_every_package_once_with_digests() -> None:
    seen: list[str] = []
    for name in ("constraints.txt", "constraints-dev.txt"):
        text = (ROOT / name).read_text("utf-8")
        for entry in re.split(r"^(?=[A-Za-z])", text, flags=re.M)[1:]:
            head, *digests = entry.replace("\\\n", " ").split("--hash=sha256:")
            assert re.match(r"[\w.-]+==\S+", head), head
            assert digests, head
            assert all(re.fullmatch(r"[0-9a-f]{64}", digest.strip()) for digest in digests), head
            seen.append(normalized(head))
    assert len(seen) == len(set(seen))
    # of torch and of FAISS for GPUs, the build is the machine's choice
    declared = CORE.union(*BY_EXTRA.values()) - {"torch"} - BY_EXTRA["gpu"]
    assert not BY_EXTRA["gpu"] & set(seen), "it has the files of faiss-cpu"
    assert declared <= set(seen)
    assert not {name for name in seen if name.startswith(("torch", "nvidia-"))}
    run = (ROOT / "constraints.txt").read_text("utf-8")
    assert "sentence-transformers" not in run  # its package of weights asks for it; nothing uses it
