"""Where configuration files lie, and what is in them."""

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
    """Names of the configurations of a kind that are known without a path, sorted.

    Protocols of an audit are the files whose name begins with ``audit``.
    """
    names = {file.stem for folder in _folders() for file in folder.glob("*.yaml")}
    return sorted(name for name in names if name.startswith("audit") == (kind == "audit"))


def find_config(path_or_name: str | Path, kind: Kind = "training") -> Path:
    """Find a configuration file: a path, or a name in ``./configs`` or among MedEmbed's own.

    Parameters
    ----------
    path_or_name : str or path
    kind : {"training", "audit"}
        Which names are offered where there is no such file.

    Raises
    ------
    ConfigError
        Where there is none; the nearest name is given.
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
        "there is no such configuration",
        where=str(path_or_name),
        hint=f"{hint}there are: {', '.join(names)}",
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file of keys and values; an empty one has none.

    Raises
    ------
    ConfigError
        Where it is no YAML, or no mapping of keys to values.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        at = f" near line {line + 1}" if line is not None else ""
        raise ConfigError(f"no readable YAML{at}", where=path.name) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError("a configuration is a mapping of keys to values", where=path.name)
    return values
