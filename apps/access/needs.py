"""What each path needs; a path that no table names needs the most."""

from __future__ import annotations

from collections.abc import Mapping

from apps.access.asgi import Message
from apps.access.guard import Entry, Need, NeedOf
from apps.access.people import Permission

__all__ = ["SERVICE_NEEDS", "need_by_path"]

SERVICE_NEEDS: Mapping[str, Need] = {
    "/healthz": Entry.EVERYBODY,
    "/readyz": Entry.EVERYBODY,
    "/metrics": Permission.METRICS,
    "/docs": Entry.SIGNED_IN,
    "/openapi.json": Entry.SIGNED_IN,
    "/v1/search": Permission.SEARCH,
    "/v1/cases": Permission.VIEW,
    "/v1/reviews": Permission.REVIEW,
    "/v1/audit": Permission.AUDIT,
}
"""Of the service."""


def need_by_path(table: Mapping[str, Need], otherwise: Need) -> NeedOf:
    """Give the function that looks up a path.

    Parameters
    ----------
    table : mapping of str to Need
        A path stands for itself and for everything below it; one that is open to everybody stands
        for itself only. The longest counts.
    otherwise : Need
        For every other path, also of routes that are added later.

    Examples
    --------
    >>> need = need_by_path(SERVICE_NEEDS, Permission.ADMIN)
    >>> need({"path": "/v1/cases/C-1"}), need({"path": "/v1/vectors"})
    (<Permission.VIEW: 'view'>, <Permission.ADMIN: 'admin'>)
    """

    def need(scope: Message) -> Need:
        path = str(scope["path"])
        if path in table:
            return table[path]
        above = [p for p in table if path.startswith(f"{p}/") and table[p] is not Entry.EVERYBODY]
        return table[max(above, key=len)] if above else otherwise

    return need
