"""Put a model to use: bring it into the library if it is elsewhere, embed, index, activate."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medembed.errors import ModelError
from medembed.library.locks import writer_lock
from medembed.model.activation import PENDING, activate, name_in_library, previous_fingerprint
from medembed.model.dual_encoder import DualEncoder
from medembed.model.embed_cases import EmbedReport, embed_library
from medembed.model.model_files import standing, stated_fingerprint
from medembed.model.published_pair import published_pair
from medembed.progress import Progress
from medembed.vector_exchange import EXTERNAL

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["UseReport", "go_back", "use_model"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEPT = ("training.json", "history.csv")


@dataclass(frozen=True)
class UseReport:
    """The outcome of :func:`use_model`.

    Parameters
    ----------
    name, fingerprint : str
        Of the model in the library.
    origin : {"library", "folder", "published"}
        Where it came from.
    dim : int
        Dimensions of its vectors.
    embedded : EmbedReport
    indexed : int
        Cases in the index; 0 if the library has no image vector.
    """

    name: str
    fingerprint: str
    origin: str
    dim: int
    embedded: EmbedReport
    indexed: int

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)


def use_model(
    library: CaseLibrary,
    source: str | Path,
    name: str | None = None,
    *,
    revision: str = "main",
    make_active: bool | None = None,
    progress: Progress | None = None,
    waiting: Callable[[str], None] | None = None,
) -> UseReport:
    """Embed the library with a model and make it the active one, without training.

    The model becomes active once the library has its vectors; until then the previous one serves.
    If interrupted, the next call resumes.

    Parameters
    ----------
    library : CaseLibrary
    source : str or path
        A model of the library by name or by the first characters of its fingerprint, a model's
        folder, or a published pair (:func:`medembed.model.published_pair.published_pair`) by its
        folder or its name on the hub.
    name : str, optional
        Name in the library for a model from elsewhere; by default that of its folder.
    revision : str
        Commit of the hub's repository.
    make_active : bool, optional
        True: activate it even if it lacks vectors that the active model has, or has collapsed.
        False: only embed with it, beside the active model.
    progress : callable of (vectors done, vectors in total), optional
    waiting : callable, optional
        Called with a line if another process embeds with this model.

    Raises
    ------
    ModelError
        If there is no such model, it cannot be used, or another one has its name.
    """
    own = _in_library(library, str(source))
    origin = "library"
    if own is None:
        model, origin, default = _from_elsewhere(str(source), revision)
        own = _keep(library, model, _checked(name, default), source, origin)
    elif name is not None and name != own:
        raise ModelError(
            f"the library has this model as {own!r}", where="--name", hint="leave --name out"
        )
    model = DualEncoder.load(library.path / "models" / own)
    if own != library.active_model and make_active is not False:
        library.set_meta(PENDING, own)
    embedded = embed_library(library, model, progress, make_active=make_active, waiting=waiting)
    return UseReport(own, model.fingerprint, origin, model.dim, embedded, _index(library, model))


def go_back(
    library: CaseLibrary,
    *,
    at_once: bool = False,
    progress: Progress | None = None,
    waiting: Callable[[str], None] | None = None,
) -> UseReport:
    """Make the model active again that was active before the present one.

    Cases that came in since are embedded with it first, while the present one serves. Called
    twice, it ends where it began.

    Parameters
    ----------
    library : CaseLibrary
    at_once : bool
        Activate it first, then embed the cases that came in since: no search finds these meanwhile.
    progress, waiting
        As in :func:`use_model`.

    Raises
    ------
    ModelError
        If there was none, or its folder is gone.
    """
    fingerprint = previous_fingerprint(library)
    name = None if fingerprint is None else name_in_library(library, fingerprint)
    if name is None:
        raise ModelError(
            "no model was active before this one"
            if fingerprint is None
            else "the model that was active before this one is no longer in the library",
            where=library.path.name,
            hint="medembed show LIBRARY lists the models; medembed use LIBRARY MODEL takes one",
        )
    if at_once:
        DualEncoder.load(library.path / "models" / name)  # one that cannot serve is not activated
        activate(library, name)
    return use_model(library, name, progress=progress, waiting=waiting)


def _index(library: CaseLibrary, model: DualEncoder) -> int:
    from medembed.index import open_index

    if len(library.missing_vectors(model.fingerprint, "image")) == len(library):
        return 0
    return len(open_index(library, model.fingerprint).index)


def _in_library(library: CaseLibrary, source: str) -> str | None:
    """Name of the library's model that is called ``source`` or has such a fingerprint."""
    models = library.path / "models"
    if (
        _NAME.fullmatch(source.partition("@")[0])
        and (standing(models / source) / "model.json").is_file()
    ):
        return source
    sets = {space.fingerprint for space in library.embedding_sets()}
    if f"{EXTERNAL}{source.removeprefix(EXTERNAL)}" in sets:
        raise ModelError(
            "these vectors were imported, and their model is not in the library",
            hint="search them by case or by vector, with --model",
        )
    if re.fullmatch(r"[0-9a-f]{8,64}", source):
        known = {stated_fingerprint(f.parent) for f in models.glob("[!.]*/model.json")}
        alike = [each for each in known if each.startswith(source)]
        if len(alike) == 1:
            return name_in_library(library, alike[0])
    return None


def _from_elsewhere(source: str, revision: str) -> tuple[DualEncoder, str, str]:
    """Load a model's folder or a published pair; returns it, its origin and its default name."""
    folder = Path(source).expanduser()
    if (standing(folder) / "model.json").is_file():
        return DualEncoder.load(folder), "folder", folder.resolve().name
    if not folder.is_dir() and "/" not in source:  # a name on the hub has an owner
        raise ModelError(
            f"no model of this library and no folder is named {folder.name!r}",
            hint="list the models: medembed show models LIBRARY; a name on the hub is owner/name",
        )
    return published_pair(source, revision), "published", folder.name or folder.resolve().name


def _checked(name: str | None, default: str) -> str:
    if name is None:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", default).lstrip("._-")[:64]
    if not _NAME.fullmatch(name):
        raise ModelError(
            "a name starts with a letter or digit and has up to 64 of these and . _ -",
            where="--name",
            hint="give the model another --name",
        )
    return name


def _keep(
    library: CaseLibrary, model: DualEncoder, name: str, source: str | Path, origin: str
) -> str:
    """Write the model into the library under its name, unless it is there already."""
    folder = library.path / "models" / name
    with writer_lock(folder.with_name(f".{name}.lock"), f"writing the model {name!r}", 0):
        if (standing(folder) / "model.json").is_file():
            if stated_fingerprint(folder) == model.fingerprint:
                return name
            raise ModelError(
                f"the library has another model named {name!r}",
                hint=f"give this one another --name, or use the other: medembed use LIBRARY {name}",
            )
        files = {}
        if origin == "folder":
            there = standing(Path(source).expanduser())
            files = {n: (there / n).read_bytes() for n in _KEPT if (there / n).is_file()}
        model.save(folder, files)
    return name
