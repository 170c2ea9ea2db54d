"""Files named by the cell ``image_path`` of a table."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from medembed.sources.refusal import CellError

__all__ = ["images_of"]


def images_of(cell: str, folder: Path) -> tuple[tuple[Path, ...], ...]:
    """Return the files of each image of a cell.

    Parameters
    ----------
    cell : str
        Files or folders, separated by ``;``, relative to ``folder`` and inside it, or absolute.
    folder : Path
        The table's folder.

    Raises
    ------
    CellError
        If a path cannot be one of them, or a folder has no files.
    """
    images = []
    for part in filter(None, (part.strip() for part in cell.split(";"))):
        if "\x00" in part:
            raise CellError("image path contains a zero byte", "bad-path")
        path = _on_this_machine(part, folder)
        if not path.is_absolute() and _climbs(path):
            raise CellError(
                "image path leaves the table's folder; use an absolute path", "path-outside"
            )
        path = folder / path
        if path.is_dir():
            inside = tuple(sorted(file for file in path.iterdir() if not file.is_dir()))
            if not inside:
                raise CellError("image folder has no files", "empty")
            images.append(inside)
        else:
            images.append((path,))
    if not images:
        raise CellError("missing image_path", "missing-value")
    return tuple(images)


def _on_this_machine(part: str, folder: Path) -> Path:
    r"""Return the path; ``images\1.png`` of Windows is read on any machine."""
    path = Path(part)
    if "\\" not in part or (folder / path).exists():
        return path
    windows = PureWindowsPath(part)
    if windows.drive:
        raise CellError(
            "image path names a Windows drive or server; use a path relative to the table",
            "bad-path",
        )
    return Path(windows.as_posix())


def _climbs(path: Path) -> bool:
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False
