"""Strict reading of a YAML file: one meaning for each key, and an error in one line."""

from __future__ import annotations

import difflib
import stat
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from medembed.errors import ConfigError

__all__ = ["read_strictly"]

M = TypeVar("M", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Refuse a key that is given twice: YAML would let the last one win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                raise yaml.constructor.ConstructorError(
                    problem="twice", problem_mark=node.value[position][0].start_mark
                )
        return super().construct_mapping(node, deep)


def read_strictly(path: Path, kind: type[M]) -> M:
    """Read a file as an object of ``kind``.

    Raises
    ------
    ConfigError
        If it cannot be read, others may write to it, it is not YAML, a key is unknown or given
        twice, or a value is not valid. The line names the key, and no value.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            "the file cannot be read", where=path.name, hint="check its path and permissions"
        ) from None
    if mode & stat.S_IWOTH:
        raise ConfigError(
            "every user of this machine can change this file", where=path.name, hint="chmod o-w"
        )
    try:
        values = yaml.load(text, _Loader)  # noqa: S506  a subclass of SafeLoader
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f" near line {mark.line + 1}" if mark is not None else ""
        twice = getattr(error, "problem", None) == "twice"
        what = "a key is given twice" if twice else "not valid YAML"
        raise ConfigError(f"{what}{at}", where=path.name) from None
    try:
        return kind.model_validate({} if values is None else values)
    except ValidationError as error:
        raise _in_one_line(error, kind, path.name) from None


def _in_one_line(error: ValidationError, kind: type[BaseModel], where: str) -> ConfigError:
    errors = error.errors(include_input=False, include_url=False)
    # a mistyped key is unknown, and often another one is missing for it
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    parts = [str(part) for part in first["loc"]]
    key = ".".join(parts)
    if first["type"] == "extra_forbidden":
        known = _keys_at(kind, parts[:-1])
        near = difflib.get_close_matches(parts[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"valid here: {', '.join(known)}"
        return ConfigError(f"unknown key {key!r}", where=where, hint=hint)
    if first["type"] == "missing":
        return ConfigError(f"the key {key!r} is missing", where=where)
    said = first["msg"].removeprefix("Value error, ")
    return ConfigError(f"{key}: {said[:1].lower()}{said[1:]}" if key else said, where=where)


def _keys_at(kind: Any, parts: list[str]) -> list[str]:
    """Give the valid keys below the section that ``parts`` name."""
    for part in parts:
        fields = _fields(kind)
        if part in fields:
            kind = fields[part]
    return sorted(_fields(kind))


def _fields(kind: Any) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: info.annotation for name, info in kind.model_fields.items()}
    for part in get_args(kind):  # of a section that may be left out, or of a list
        if found := _fields(part):
            return found
    return {}
