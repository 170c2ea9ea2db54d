"""Leave out where files lie on this machine from what a model folder keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["without_folders"]


def without_folders(values: Any) -> Any:
    """Replace each path of this machine in JSON values by its last part.

    Names on a hub, such as ``owner/name``, are kept.

    Examples
    --------
    >>> without_folders({"source": "/data/models/bert", "lr": 0.1, "more": ["owner/name"]})
    {'source': 'bert', 'lr': 0.1, 'more': ['owner/name']}
    """
    if isinstance(values, dict):
        return {key: without_folders(value) for key, value in values.items()}
    if isinstance(values, list):
        return [without_folders(value) for value in values]
    if not isinstance(values, str) or not ({"/", "\\"} & set(values) or values.startswith("~")):
        return values
    path = Path(values)
    is_local = values.startswith(("/", "~", ".", "\\")) or values[1:3] in (":\\", ":/")
    return path.name if is_local or _exists(path) else values


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name, or a zero byte
        return False
