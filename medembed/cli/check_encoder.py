"""The verb ``check-encoder``."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from medembed.cli.command import AsJson, emit, verb
from medembed.errors import MedEmbedError, ModelError

if TYPE_CHECKING:
    from medembed.model.encoder_check import EncoderCheck, Side

__all__ = ["check_encoder"]


class _Sides(StrEnum):
    """Which side of an encoder to check."""

    auto = "auto"
    image = "image"
    text = "text"


@verb
def check_encoder(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Folder of the encoder, or its name on a hub.")
    ],
    side: Annotated[
        _Sides, typer.Option(help="Which side to check; auto: those that it has.")
    ] = _Sides.auto,
    encoder: Annotated[
        str, typer.Option(help="Name in medembed show encoders, such as torchxrayvision.")
    ] = "hub",
    revision: Annotated[str, typer.Option(help="Commit of the hub's repository.")] = "main",
    as_json: AsJson = False,
) -> None:
    """Check a published encoder before training with it.

    Shows what it is, its license and its preprocessing; compares its vectors with those of its own
    library and of a saved model folder; and times it. Exit code 2 if something is wrong.

    Example: medembed check-encoder models/rad-dino
    """
    from medembed.model.encoder_check import check_encoder as check
    from medembed.model.encoder_check import sides_of

    wanted: tuple[Side, ...]
    if side is _Sides.auto:
        wanted = sides_of(source, encoder, revision)
    else:
        wanted = ("image",) if side is _Sides.image else ("text",)
    found: list[EncoderCheck] = []
    refused: MedEmbedError | None = None
    for each in wanted:
        try:
            found.append(check(source, each, encoder=encoder, revision=revision))
        except MedEmbedError as error:  # the other side of a pair may be right
            refused = error
    if refused and not found:
        raise refused
    payload = {"checks": [each.to_json() for each in found]}

    def human() -> None:
        sys.stdout.write("\n".join(map(_told, found)) + "\n")

    emit(payload, as_json, human)
    if refused:
        raise refused
    failed = [each for each in found if not each.passed]
    if failed:
        raise ModelError(
            f"the {failed[0].side} side does not give the vectors that it should",
            where=failed[0].name,
            hint="do not train with it; report it with the output of check-encoder",
        )


def _told(check: EncoderCheck) -> str:
    left = ", ".join(f"{name} ({count})" for name, count in (check.left_out or {}).items())
    stated = ((k, v) for k, v in check.preprocess.items() if v is not None)
    settings = ", ".join(f"{k} {_short(k, v)}" for k, v in stated)
    own = (
        f"not compared: {check.not_compared}"
        if check.own_library is None
        else f"largest relative difference {check.own_library:.1e}"
    )
    lines = (
        (f"{check.name}, {check.side} side", f"{check.kind} ({check.library})"),
        ("license", check.license or "not stated"),
        ("vector", f"{check.width} dimensions, from {check.parameters:,} parameters"),
        ("reads", settings),
        ("weights", f"every one is accounted for; left out: {left or 'none'}"),
        ("own library", own),
        ("saved and loaded", f"largest difference {check.round_trip:.1e}"),
        ("finite", "yes" if check.finite else "no"),
        ("speed", f"{check.ms_each:.0f} ms each on this machine now"),
        ("result", "passed" if check.passed else "failed"),
    )
    (head, first), *rest = lines
    return "\n".join([f"{head}: {first}", *(f"  {name + ':':<18}{text}" for name, text in rest)])


def _short(name: str, value: object) -> str:
    if isinstance(value, list):
        return ("×" if name == "size" else "/").join(_short(name, each) for each in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
