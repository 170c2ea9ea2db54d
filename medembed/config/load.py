"""Loading of a :class:`TrainingConfig` from a YAML file and ``key=value`` overrides."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from medembed.config.files import find_config, read_yaml
from medembed.errors import ConfigError
from medembed.training.settings import TrainingConfig

__all__ = ["load_config"]


def load_config(path_or_name: str | Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Read and validate a configuration.

    Parameters
    ----------
    path_or_name : str or path
        See :func:`find_config`.
        Its key ``base`` may name another, on which it builds.
    overrides : sequence of str
        ``"optim.lr=1e-3"``: values are read as YAML.

    Raises
    ------
    ConfigError
        If a key or value is not valid; the message names it and the nearest valid key.

    Examples
    --------
    >>> load_config("demo", ["epochs=3", "optim.lr=1e-4"]).optim.lr
    0.0001
    """
    path = find_config(path_or_name)
    values = _with_base(path)
    for override in overrides:
        _apply(values, override)
    values.setdefault("name", path.stem)
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        raise _explained(error, path.name) from None


def _with_base(path: Path, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a configuration; its key ``base`` names one whose values hold where it gives none."""
    values = read_yaml(path)
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise ConfigError("base must be the name of a configuration", where=path.name)
    if (file := find_config(base)).name in (*above, path.name):
        raise ConfigError("the configuration is based on itself", where=path.name)
    return _merged(_with_base(file, (*above, path.name)), values)


def _merged(below: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    out = dict(below)
    for key, value in values.items():
        under = out.get(key)
        both = isinstance(value, dict) and isinstance(under, dict)
        out[key] = _merged(under, value) if both else value  # type: ignore[arg-type]
    return out


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError("write overrides as key=value", where=override)
    try:
        value = _number(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ConfigError("the value is not valid YAML", where=key) from error
    place = values
    for part in parts[:-1]:
        below = place.setdefault(part, {})
        if not isinstance(below, dict):
            raise ConfigError(f"{part!r} is a value and has no keys", where=key)
        place = below
    place[parts[-1]] = value


def _number(value: Any) -> Any:
    """Parse 1e-3 as a number: YAML 1.1 reads it as text without a decimal point."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _explained(error: ValidationError, where: str) -> ConfigError:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _keys_at(location[:-1])
        near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"valid here: {', '.join(known)}"
        return ConfigError(f"unknown key {key!r}", where=where, hint=hint)
    message = first["msg"].removeprefix("Value error, ")
    said = f"{message[:1].lower()}{message[1:]}"
    return ConfigError(f"{key}: {said}" if key else said, where=where)


def _keys_at(location: Sequence[str]) -> list[str]:
    """Return the valid keys below ``location``."""
    kind: Any = TrainingConfig
    for part in location:
        kind = _fields(kind).get(part)
    return sorted(_fields(kind))


def _fields(kind: Any) -> dict[str, Any]:
    for part in get_args(kind):  # of a section that may be left out
        if found := _fields(part):
            return found
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: info.annotation for name, info in kind.model_fields.items()}
    if is_dataclass(kind):
        return dict.fromkeys(kind.__dataclass_fields__)
    return {}
