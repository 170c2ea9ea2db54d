"""A form with a query and image files, sent from disk in pieces."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medembed.client.answers import ServiceError
from medembed.client.exchange import JsonBody

__all__ = ["FormBody"]

_PIECE = 2**16
_EXTENSIONS = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".dcm")


class FormBody:
    """The body of a ``multipart/form-data`` request; file names, which may name a patient, stay.

    Parameters
    ----------
    query : mapping
    files : sequence of Path

    Raises
    ------
    ServiceError
        If a file cannot be read.
    """

    def __init__(self, query: Mapping[str, Any], files: Sequence[Path]) -> None:
        if not files:
            raise ServiceError("no image file given")
        mark = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={mark}"
        self._parts: list[bytes | Path] = [
            f'--{mark}\r\nContent-Disposition: form-data; name="query"\r\n'
            "Content-Type: application/json\r\n\r\n".encode(),
            JsonBody(query).text,
        ]
        for number, file in enumerate(files):
            name = f"{number:05d}{_extension(file)}"
            self._parts += [
                f"\r\n--{mark}\r\nContent-Disposition: form-data; "
                f'name="image"; filename="{name}"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n".encode(),
                file,
            ]
        self._parts.append(f"\r\n--{mark}--\r\n".encode())
        try:
            sizes = [p.stat().st_size if isinstance(p, Path) else len(p) for p in self._parts]
        except OSError as error:
            why = (error.strerror or "refused").lower()
            raise ServiceError(f"an image file cannot be read ({why})") from None
        self.length = sum(sizes)

    def pieces(self) -> Iterable[bytes]:
        """Give the bytes."""
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            with part.open("rb") as file:
                while piece := file.read(_PIECE):
                    yield piece


def _extension(file: Path) -> str:
    lower = file.name.lower()
    return next((known for known in _EXTENSIONS if lower.endswith(known)), "")
