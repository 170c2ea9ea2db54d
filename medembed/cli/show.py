"""The verb ``show``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medembed.cli.command import AsJson, emit, verb
from medembed.counted import counted

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["show"]

_LISTS = ("sources", "encoders", "models")
_COUNTED = ("split", "kind", "modality", "view", "sex", "race", "site", "scanner", "finding")
_OF_MODELS = ("models", "active_model", "pending_model", "previous_model", "model_history")
_MOST = 12


@verb
def show(
    what: Annotated[
        str, typer.Argument(metavar="LIBRARY|sources|encoders|models", help="What to show.")
    ],
    library: Annotated[
        Path | None,
        typer.Argument(metavar="[LIBRARY]", help="With models: list those of this library."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the contents of a library, or list the available sources, encoders or models.

    Without a library, models lists well-known published encoders with their licenses.

    If a library's folder has the name of a list, write it as a path, such as ./sources.

    Example: medembed show demo-library
    """
    if what == "sources":
        from medembed.sources import SOURCES

        _list("sources", {name: SOURCES.summary(name) for name in SOURCES}, as_json)
    elif what == "encoders":
        _list("encoders", _encoders(), as_json)
    elif what == "models" and library is None:
        _published(as_json)
    else:
        from medembed.library import CaseLibrary

        with CaseLibrary.open(what if library is None else library) as opened:
            payload = _summary(opened)
        if what == "models" and library is not None:
            payload = {name: payload[name] for name in _OF_MODELS}
        emit(payload, as_json, lambda: _print(payload))


def _list(noun: str, entries: dict[str, str], as_json: bool) -> None:
    def human() -> None:
        width = max(map(len, entries), default=0)
        for name, summary in entries.items():
            sys.stdout.write(f"{name:<{width}}  {summary}".rstrip() + "\n")

    emit({noun: entries}, as_json, human)


def _published(as_json: bool) -> None:
    from medembed.encoders.published import published_encoders

    entries = published_encoders()

    def human() -> None:
        for each in entries:
            sys.stdout.write(
                f"{each.name} ({' and '.join(each.sides)}): {each.source}\n"
                f"    {each.network}; parameters: {each.parameters}\n"
                f"    license: code {each.code_license}, weights {each.weights_license}\n"
                f"    trained on: {each.trained_on}\n"
                f"    for: {each.purpose}\n"
                f"    use: {each.use or 'does not load'}"
                f"{f' ({each.remark})' if each.remark else ''}\n"
            )

    emit({"models": [each.to_json() for each in entries]}, as_json, human)


def _encoders() -> dict[str, str]:
    """Names and summaries of the encoders; none is imported."""
    from medembed.encoders import IMAGE_ENCODERS, TEXT_ENCODERS

    return {
        f"{noun} {name}": registry.summary(name)
        for noun, registry in (("image", IMAGE_ENCODERS), ("text", TEXT_ENCODERS))
        for name in registry
    }


def _summary(library: CaseLibrary) -> dict[str, Any]:
    from medembed.library import library_vocabulary
    from medembed.model.activation import PENDING, name_in_library, previous_fingerprint
    from medembed.model.model_history import model_history

    before = previous_fingerprint(library)

    return {
        "library": library.path.name,
        "cases": len(library),
        "patients": len(set(library.patients().values())),
        "notes": library.n_notes(),
        "dates": library.get_meta("dates") or "none yet",
        "counts": {name: library.value_counts(name) for name in _COUNTED},
        "attributes": library.attribute_names(),
        "models": _with_progress(library, _models(library.path / "models")),
        "active_model": library.active_model,
        "pending_model": library.get_meta(PENDING) or None,
        "previous_model": before and name_in_library(library, before),
        "model_history": [asdict(each) for each in model_history(library)],
        "vocabulary": library_vocabulary(library).name,
        "vectors": [
            {
                "model": space.fingerprint,
                "kind": space.kind,
                "dimensions": space.dimensions,
                "vectors": space.n_vectors,
            }
            for space in library.embedding_sets()
        ],
        "indexes": sorted(p.name for p in (library.path / "index").glob("*") if p.is_dir()),
    }


def _with_progress(library: CaseLibrary, models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add how many of the cases and notes each model has vectors of, and whether it embeds now."""
    from medembed.library.locks import is_locked
    from medembed.model.embed_cases import embed_lock

    whole = {"image": len(library), "note": library.n_notes()}
    stored = {(s.fingerprint, s.kind): s.n_vectors for s in library.embedding_sets()}
    for model in models:
        fingerprint = model["fingerprint"] or ""
        for kind, cases in whole.items():
            n_vectors = stored.get((fingerprint, kind), 0)
            model[f"{kind}_vectors"] = {"vectors": n_vectors, "of": cases}
        model["embeds_now"] = is_locked(embed_lock(library, fingerprint))
    return models


def _models(folder: Path) -> list[dict[str, Any]]:
    """Name, fingerprint and runtime of each model folder."""
    found = []
    for path in sorted(folder.glob("*")):
        file = path / "model.json"
        if not file.is_file():
            continue
        try:
            about = json.loads(file.read_text("utf-8"))
        except ValueError:
            about = {}
        found.append(
            {
                "name": path.name,
                "fingerprint": about.get("fingerprint"),
                "precision": about.get("precision", "float32"),
                "serving": about.get("serving", {}),
            }
        )
    return found


def _print(payload: dict[str, Any]) -> None:
    from medembed.vector_exchange import EXTERNAL

    lines = []
    if "cases" in payload:
        lines.append(
            f"{payload['library']}: {counted(payload['cases'], 'case')} of "
            f"{counted(payload['patients'], 'patient')}, "
            f"{payload['notes']} with a note; dates: {payload['dates']}"
        )
        for name, counts in payload["counts"].items():
            shown = [f"{value} {count}" for value, count in list(counts.items())[:_MOST]]
            more = [f"and {len(counts) - _MOST} more"] if len(counts) > _MOST else []
            lines.append(f"  {name + ':':<10} {', '.join([*shown, *more]) or 'none'}")
        lines.append(f"  reports:   read with vocabulary {payload['vocabulary']}")
        if payload["attributes"]:
            lines.append(f"  kept:      {', '.join(payload['attributes'])}")
    for model in payload["models"]:
        active = " (active)" if model["name"] == payload["active_model"] else ""
        if model["name"] == payload["pending_model"]:
            active += " (pending: run medembed embed)"
        if model["name"] == payload["previous_model"]:
            active += " (previous: medembed use --back)"
        lines.append(f"  model:     {model['name']}{active} {model['fingerprint'] or ''}".rstrip())
        lines.append(f"             {_embedded(model)}")
        lines += [
            f"             the {side} side runs in torch: {about.get('reason', '')}"
            for side, about in model["serving"].items()
            if about.get("runtime") == "torch"
        ]
    if not payload["models"]:
        lines.append("  model:     none yet (medembed train)")
    named = {model["fingerprint"]: model["name"] for model in payload["models"]}
    for space in payload.get("vectors", ()):
        made_by = f"model {named.get(space['model'], '(removed)')} {space['model'][:12]}"
        if space["model"].startswith(EXTERNAL):
            made_by = f"imported: {space['model'].removeprefix(EXTERNAL)}"
        lines.append(
            f"  vectors:   {space['vectors']} of {space['kind']}s, "
            f"{counted(space['dimensions'], 'dimension')}, {made_by}"
        )
    if payload.get("indexes"):
        lines.append(f"  index:     {', '.join(name[:12] for name in payload['indexes'])}")
    sys.stdout.write("\n".join(lines) + "\n")


def _embedded(model: dict[str, Any]) -> str:
    """How much of a library a model has embedded."""
    images, notes = model["image_vectors"], model["note_vectors"]
    line = (
        f"embedded: {images['vectors']} of {counted(images['of'], 'case')}, "
        f"{notes['vectors']} of {counted(notes['of'], 'note')}"
    )
    return f"{line}, at work now" if model["embeds_now"] else line
