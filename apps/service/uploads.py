"""An upload: its files go straight into a folder that does not outlive the request."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from apps.case_lookup.dropped import decoding_folder
from apps.service.bodies import chunks
from apps.service.problems import Problem, ProblemKind
from apps.service.settings import ServiceSettings

__all__ = ["Upload"]

_EXTENSIONS = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".dcm")
_BY_TYPE = {"image/png": ".png", "image/jpeg": ".jpg", "application/dicom": ".dcm"}
_UPLOAD_SECONDS = 600.0
_QUERY, _IMAGE = "query", "image"


class Upload:
    """The parts of a ``multipart/form-data`` request: a query in JSON, and image files.

    The files are written under numbers, with mode 0600, in a folder of mode 0700 that is removed
    when the block ends; of their names only the extension is kept. If this process is killed, the
    next one removes the folder.

    Parameters
    ----------
    request : Request
    settings : ServiceSettings
    """

    def __init__(self, request: Request, settings: ServiceSettings) -> None:
        self._request = request
        self._settings = settings
        self._stack = ExitStack()
        self.query = b"{}"
        self.files: list[Path] = []

    async def __aenter__(self) -> Upload:
        kind, options = parse_options_header(self._request.headers.get("content-type", ""))
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise Problem(ProblemKind.BAD_REQUEST, "the form has no boundary")
        try:
            folder = self._stack.enter_context(decoding_folder())
            parts = _Parts(folder, self._settings)
            self._stack.callback(parts.close)
            try:
                parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
                most = self._settings.max_upload_bytes
                async for chunk in chunks(self._request, most, _UPLOAD_SECONDS):
                    await asyncio.to_thread(parser.write, chunk)
                parser.finalize()
            except FormParserError:
                raise Problem(ProblemKind.BAD_REQUEST, "the form cannot be read") from None
            if not parts.is_complete:
                raise Problem(ProblemKind.BAD_REQUEST, "the form is cut off")
        except BaseException:
            await asyncio.to_thread(self._stack.close)
            raise
        self.files = parts.files
        if parts.query:
            self.query = bytes(parts.query)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._stack.close)


class _Parts:
    """Takes the parts of a form as the parser finds them."""

    def __init__(self, folder: Path, settings: ServiceSettings) -> None:
        self._folder = folder
        self._settings = settings
        self.query = bytearray()
        self.files: list[Path] = []
        self.is_complete = False
        self._file: BinaryIO | None = None
        self._is_query = self._has_query = False
        self._headers: dict[str, bytes] = {}
        self._name, self._value = bytearray(), bytearray()

    def callbacks(self) -> dict[str, object]:
        """Return what the parser calls."""
        names = (
            *("part_begin", "header_field", "header_value", "header_end", "headers_finished"),
            *("part_data", "part_end", "end"),
        )
        return {f"on_{name}": getattr(self, name) for name in names}

    def close(self) -> None:
        """Close a file whose part did not end."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def part_begin(self) -> None:
        """Begin a part."""
        self._headers.clear()
        self._is_query = False

    def header_field(self, data: bytes, start: int, end: int) -> None:
        """Take some of a header's name."""
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        """Take some of a header's value."""
        self._value += data[start:end]

    def header_end(self) -> None:
        """End a header."""
        self._headers[self._name.decode("latin-1").lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def headers_finished(self) -> None:
        """Open the file of an image, or begin the query."""
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        name = options.get(b"name", b"").decode("latin-1")
        if name == _QUERY and not self._has_query:
            self._is_query = self._has_query = True
        elif name == _IMAGE:
            if len(self.files) >= self._settings.max_files:
                most = self._settings.max_files
                raise Problem(ProblemKind.TOO_LARGE, f"the limit is {most} files")
            extension = _extension(options.get(b"filename", b""), self._headers)
            path = self._folder / f"{len(self.files):05d}{extension}"
            path.touch(mode=0o600)
            self._file = path.open("wb")
            self.files.append(path)
        else:
            raise Problem(
                ProblemKind.INVALID, "a form has one part 'query' and parts 'image', no other"
            )

    def part_data(self, data: bytes, start: int, end: int) -> None:
        """Take some of a part's content."""
        if self._file is not None:
            self._file.write(data[start:end])
        else:
            self.query += data[start:end]
            if len(self.query) > self._settings.max_query_bytes:
                most = self._settings.max_query_bytes
                raise Problem(ProblemKind.TOO_LARGE, f"query: the limit is {most} bytes")

    def part_end(self) -> None:
        """End a part."""
        self.close()

    def end(self) -> None:
        """Note that the closing boundary was there."""
        self.is_complete = True


def _extension(file_name: bytes, headers: dict[str, bytes]) -> str:
    """Give the extension that names the format, by the name of the file or the part's type."""
    lower = file_name.decode("latin-1").lower()
    known = next((one for one in _EXTENSIONS if lower.endswith(one)), "")
    kind = headers.get("content-type", b"").partition(b";")[0].strip().decode("latin-1").lower()
    return known or _BY_TYPE.get(kind, "")
