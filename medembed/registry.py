"""Registries of encoders and sources that other packages can extend.

Another package adds entries by an entry point (``medembed.encoders``, ``medembed.sources``) or by
calling :meth:`Registry.register`; nothing is imported before its name is looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from medembed.errors import InputError

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to objects, which are imported on first use.

    Parameters
    ----------
    noun : str
        Name of an entry in messages: ``"image encoder"``.
    group : str, optional
        Entry-point group that other packages can extend.
    """

    def __init__(self, noun: str, group: str | None = None) -> None:
        self.noun = noun
        self.group = group
        self._entries: dict[str, tuple[T | str, str]] = {}

    def register(self, name: str, target: T | str, summary: str = "") -> None:
        """Add ``name``; a string target ``"package.module:attribute"`` is imported on first use."""
        if name in self._entries:
            raise InputError(f"{self.noun} {name!r} is registered twice")
        self._entries[name] = (target, summary)

    def __getitem__(self, name: str) -> T:
        if name in self._entries:
            target, summary = self._entries[name]
            if isinstance(target, str):
                module, _, attribute = target.partition(":")
                target = cast(T, getattr(import_module(module), attribute))
                self._entries[name] = (target, summary)
            return target
        if self.group:
            for point in entry_points(group=self.group, name=name):
                loaded = cast("Callable[[], T] | T", point.load())
                self._entries[name] = (cast(T, loaded), "")
                return cast(T, loaded)
        raise InputError(
            f"unknown {self.noun} {name!r}", hint=f"use one of: {', '.join(sorted(self))}"
        )

    def __iter__(self) -> Iterator[str]:
        names = set(self._entries)
        if self.group:
            names.update(point.name for point in entry_points(group=self.group))
        return iter(sorted(names))

    def __contains__(self, name: object) -> bool:
        return name in set(self)

    def summary(self, name: str) -> str:
        """Return a one-line description of ``name``, for ``medembed show``."""
        return self._entries[name][1] if name in self._entries else ""
