"""The noun :class:`Vocabulary`: findings and triggers in one language, from a YAML file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from medembed.errors import ConfigError
from medembed.notes.patterns import Phrases
from medembed.notes.vocabulary_file import (
    FindingEntry,
    SideWords,
    TriggerGroup,
    VocabularyFile,
    VocabularyPart,
)

__all__ = [
    "Vocabulary",
    "VocabularyDocument",
    "check_form",
    "load_vocabulary",
    "packaged_vocabularies",
    "read_document",
    "read_yaml",
    "vocabulary_of",
]

_FOLDER = Path(__file__).parent / "vocabularies"
_LARGEST = 2_000_000
_DEEPEST = 3
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

M = TypeVar("M", bound=BaseModel)
How = Literal["named", "normal", "doubtful", "none"]


@dataclass(frozen=True)
class Naming:
    """The finding that a phrase names.

    Parameters
    ----------
    label : str
        Empty for a lookalike, which is not a finding.
    how : {"named", "normal", "doubtful", "none"}
    """

    label: str
    how: How


@dataclass(frozen=True)
class Vocabulary:
    """A compiled vocabulary.

    Parameters
    ----------
    file : VocabularyFile
        The complete file, including extended and included files.
    document : VocabularyDocument
        The form in which a library stores it.
    """

    file: VocabularyFile
    document: VocabularyDocument
    findings: Mapping[str, FindingEntry] = field(init=False, repr=False, compare=False)
    namings: Phrases[Naming] = field(init=False, repr=False, compare=False)
    triggers: Phrases[TriggerGroup] = field(init=False, repr=False, compare=False)
    marks: Phrases[str] = field(init=False, repr=False, compare=False)
    sides: Phrases[str] = field(init=False, repr=False, compare=False)
    headings: Phrases[str] = field(init=False, repr=False, compare=False)
    function: frozenset[str] = field(init=False, repr=False, compare=False)
    patient: Phrases[str] = field(init=False, repr=False, compare=False)
    plain: Phrases[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        file = self.file
        put: Callable[[str, object], None] = lambda name, value: object.__setattr__(  # noqa: E731
            self, name, value
        )
        put("findings", {entry.label: entry for entry in file.findings})
        put("namings", self._phrases("findings", _namings(file)))
        put(
            "triggers",
            self._phrases(
                "triggers", ((phrase, group) for group in file.triggers for phrase in group.words)
            ),
        )
        named = (
            "ends", "exceptions", "new_statement", "sizes", "large", "still", "previously",
            "placed", "corrects",
        )  # fmt: skip
        put(
            "marks",
            self._phrases("words", ((p, name) for name in named for p in getattr(file, name))),
        )
        put("sides", self._phrases("sides", _sides(file.sides)))
        headings = [(p, name) for name, phrases in file.sections.items() for p in phrases]
        headings += [(phrase, "") for phrase in file.subheadings]
        put("headings", self._phrases("sections", headings))
        put(
            "function", frozenset((*file.function, *file.verbs, *file.ands, *file.ors, *file.withs))
        )
        put("patient", self._phrases("patient_words", ((p, "patient") for p in file.patient_words)))
        put("plain", self._phrases("plain", ((p, "plain") for p in file.plain)))

    def _phrases(self, key: str, pairs: Iterable[tuple[str, Any]]) -> Phrases[Any]:
        file = self.file
        barriers = {*file.ands, *file.ors, *file.withs, *file.barriers}
        found: Phrases[Any] = Phrases(self.file.classes, barriers)
        for phrase, value in pairs:
            try:
                found.add(phrase, value)
            except ValueError as error:
                raise ConfigError(
                    f"{phrase!r}: {error}",
                    where=f"vocabulary {self.file.name}: {key}",
                    hint="see docs/reference/vocabulary.md for the notation",
                ) from None
        return found

    @property
    def name(self) -> str:
        """Name of the vocabulary."""
        return self.file.name

    @property
    def language(self) -> str:
        """ISO 639-1 code of the language."""
        return self.file.language

    @cached_property
    def verbs(self) -> frozenset[str]:
        """Forms of be, have, show."""
        return frozenset(self.file.verbs)

    @cached_property
    def relations(self) -> frozenset[str]:
        """Words after which a side belongs to something else."""
        return frozenset(self.file.sides.relations)

    @cached_property
    def abbreviations(self) -> frozenset[str]:
        """Words whose period does not end a sentence."""
        return frozenset(self.file.abbreviations)

    @cached_property
    def open_line(self) -> frozenset[str]:
        """Words that cannot end a sentence."""
        return frozenset(self.file.open_line)

    @cached_property
    def starters(self) -> frozenset[str]:
        """Words that begin findings."""
        return frozenset(self.file.starters)

    @property
    def digest(self) -> str:
        """Hex digest of the content."""
        return hashlib.sha256(self.file.model_dump_json().encode()).hexdigest()


def _namings(file: VocabularyFile) -> Iterable[tuple[str, Naming]]:
    for entry in file.findings:
        for phrase in entry.names:
            yield phrase, Naming(entry.label, "named")
        for phrase in entry.normal:
            yield phrase, Naming(entry.label, "normal")
        for phrase in entry.doubtful:
            yield phrase, Naming(entry.label, "doubtful")
    for phrase in file.lookalikes:
        yield phrase, Naming("", "none")


def _sides(words: SideWords) -> Iterable[tuple[str, str]]:
    for left, right in words.pairs:
        yield left, "left"
        yield right, "right"
        yield f"{left}-sided", "left"
        yield f"{right}-sided", "right"
    for name in ("left", "right", "both", "elsewhere"):
        for phrase in getattr(words, name):
            yield phrase, name


@dataclass(frozen=True)
class VocabularyDocument:
    """A vocabulary as written, with its included files; the extended one only by name.

    Parameters
    ----------
    content : str
        JSON of the file and its includes.
    where : str
        Name for error messages.
    """

    content: str
    where: str = "vocabulary"


def load_vocabulary(name: str = "en") -> Vocabulary:
    """Load a packaged vocabulary by language, or one from a file.

    Parameters
    ----------
    name : str
        ``"en"``, or the path of a YAML file.

    Raises
    ------
    ConfigError
        If it does not exist or is not valid; the message names file and key.
    """
    if name in packaged_vocabularies():
        return _packaged(name)
    return vocabulary_of(read_document(Path(name)))


@lru_cache(maxsize=8)
def _packaged(language: str) -> Vocabulary:
    return vocabulary_of(read_document(_FOLDER / f"{language}.yaml"))


@lru_cache(maxsize=1)
def packaged_vocabularies() -> tuple[str, ...]:
    """Return the languages of the packaged vocabularies."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("??.yaml")))


def read_document(path: Path) -> VocabularyDocument:
    """Read a vocabulary file and its includes."""
    data = read_yaml(path)
    merged = check_form(data, VocabularyFile, path.name).model_dump(exclude_unset=True)
    for name in merged.pop("includes", ()):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ConfigError(
                f"includes {name!r}", where=path.name, hint="use a file in the same folder or below"
            )
        part = check_form(read_yaml(path.parent / name), VocabularyPart, name)
        merged = _joined(merged, part.model_dump(exclude_unset=True), name)
    content = json.dumps(merged, ensure_ascii=False, sort_keys=True)
    return VocabularyDocument(content, path.name)


def vocabulary_of(document: VocabularyDocument) -> Vocabulary:
    """Compile a vocabulary.

    Raises
    ------
    ConfigError
        If the extended vocabulary does not exist, or a phrase is not valid.
    """
    return Vocabulary(_resolved(document, _DEEPEST), document)


def _resolved(document: VocabularyDocument, depth: int) -> VocabularyFile:
    data = json.loads(document.content)
    base_name = data.get("extends", "")
    if base_name:
        if base_name not in packaged_vocabularies() or not depth:
            raise ConfigError(
                f"extends unknown vocabulary {base_name!r}",
                where=f"{document.where}: extends",
                hint=f"use one of: {', '.join(packaged_vocabularies())}",
            )
        data = check_form(data, VocabularyFile, document.where).model_dump(
            mode="json", exclude_unset=True
        )  # with today's labels, also in a document that a library stored earlier
        base = _resolved(read_document(_FOLDER / f"{base_name}.yaml"), depth - 1)
        data = _extended(base.model_dump(), data, document.where)
    return check_form(data, VocabularyFile, document.where)


def read_yaml(path: Path) -> Any:
    """Read a YAML file of a vocabulary; an error names the file and the line."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError(f"larger than {_LARGEST} bytes", where=path.name)
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            "no such file",
            where=path.name,
            hint=f"give a YAML file, or one of: {', '.join(packaged_vocabularies())}",
        ) from None
    except (UnicodeDecodeError, OSError):
        raise ConfigError(
            "cannot be read as text", where=path.name, hint="save it as UTF-8"
        ) from None
    try:
        return yaml.load(text, _LOADER)  # noqa: S506  a safe loader
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(
            "not valid YAML",
            where=f"{path.name}{line}",
            hint="quote phrases with special characters",
        ) from None


def check_form(data: Any, form: type[M], where: str) -> M:
    """Validate data; an error names the file and the key."""
    try:
        return form.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        what, hint = first["msg"], "see docs/reference/vocabulary.md for the format"
        if isinstance(first["input"], bool):
            what, hint = "YAML reads yes, no, on and off as booleans", 'quote the word: "no"'
        raise ConfigError(what, where=f"{where}: {key}", hint=hint) from None


def _joined(merged: dict[str, Any], part: dict[str, Any], where: str) -> dict[str, Any]:
    """Append an included part; labels and classes must be unique."""
    labels = {entry["label"] for entry in merged.get("findings", ())}
    for entry in part.get("findings", ()):
        if entry["label"] in labels:
            raise ConfigError(
                f"duplicate finding {entry['label']!r}", where=where, hint="merge the two"
            )
        labels.add(entry["label"])
    for name in part.get("classes", {}):
        if name in merged.get("classes", {}):
            raise ConfigError(f"duplicate class {name!r}", where=where, hint="rename one of them")
    return {
        **merged,
        "classes": {**merged.get("classes", {}), **part.get("classes", {})},
        "findings": [*merged.get("findings", ()), *part.get("findings", ())],
        "lookalikes": [*merged.get("lookalikes", ()), *part.get("lookalikes", ())],
    }


def _extended(base: dict[str, Any], data: dict[str, Any], where: str) -> dict[str, Any]:
    """Merge a local file into the one that it extends."""
    known = {entry["label"]: entry for entry in base["findings"]}
    for label in data.get("remove", ()):
        if known.pop(label, None) is None:
            raise ConfigError(f"unknown finding {label!r}", where=f"{where}: remove")
    for entry in data.get("findings", ()):
        old = known.get(entry["label"])
        if old is None or entry.get("replace"):
            known[entry["label"]] = entry
            continue
        joined = {**old, **entry}
        for name in ("names", "normal", "doubtful", "aliases"):
            joined[name] = [*old[name], *entry.get(name, ())]
        known[entry["label"]] = joined
    result = {**base, **data, "findings": list(known.values()), "extends": "", "remove": ()}
    for name, value in data.items():
        if name in ("findings", "remove", "extends"):
            continue
        if isinstance(value, list) and isinstance(base.get(name), (list, tuple)):
            result[name] = [*base[name], *value]
        elif name == "classes" or name in ("sides", "sections"):
            result[name] = {
                key: [*base[name].get(key, ()), *value.get(key, ())]
                for key in {**base[name], **value}
            }
    return result
