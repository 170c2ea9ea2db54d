"""Finding and reading configuration files."""

from __future__ import annotations

import difflib
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml

from medembed.errors import ConfigError

__all__ = ["config_names", "find_config", "read_yaml"]

Kind = Literal["training", "audit"]


def _folders() -> Iterator[Path]:
    yield Path("configs")
    yield Path(__file__).parents[2] / "configs"
    yield Path(sysconfig.get_path("data")) / "share" / "medembed" / "configs"


def config_names(kind: Kind = "training") -> list[str]:
    """Return the names of the configurations of a kind that need no path, sorted.

    Audit protocols are the files whose names begin with ``audit``.
    """
    names = {file.stem for folder in _folders() for file in folder.glob("*.yaml")}
    return sorted(name for name in names if name.startswith("audit") == (kind == "audit"))


def find_config(path_or_name: str | Path, kind: Kind = "training") -> Path:
    """Find a configuration file: a path, or a name in ``./configs`` or in the package.

    Parameters
    ----------
    path_or_name : str or path
    kind : {"training", "audit"}
        Kind of names to suggest if the file does not exist.

    Raises
    ------
    ConfigError
        If there is none; the message suggests the nearest name.
    """
    path = Path(path_or_name)
    if path.is_file():
        return path
    if path.parent == Path() and path.suffix in ("", ".yaml"):
        for folder in _folders():
            if (folder / f"{path.stem}.yaml").is_file():
                return folder / f"{path.stem}.yaml"
    names = config_names(kind)
    near = difflib.get_close_matches(path.stem, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        "configuration not found",
        where=str(path_or_name),
        hint=f"{hint}available: {', '.join(names)}",
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping from a YAML file; an empty file gives an empty mapping.

    Raises
    ------
    ConfigError
        If it is not YAML, or not a mapping of keys to values.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        at = f" near line {line + 1}" if line is not None else ""
        raise ConfigError(f"not valid YAML{at}", where=path.name) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError("a configuration must be a mapping of keys to values", where=path.name)
    return values
