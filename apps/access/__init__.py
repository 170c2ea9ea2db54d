"""Who may see what: sign-in, tokens, roles, rows, and the guard before every route."""

from __future__ import annotations

from apps.access.access_file import AccessFile, find_access_file, read_access_file
from apps.access.door import Door, open_door, trust_proxies
from apps.access.guard import Entry, Guard, Kind, Need, session_handle
from apps.access.headers import SecurityHeaders
from apps.access.needs import need_by_path
from apps.access.origin import SameOrigin
from apps.access.people import (
    LOCAL_PERSON,
    NOBODY,
    NotAllowedError,
    Permission,
    Person,
    Role,
    person_of,
)
from apps.access.presence import person_of_handle, set_door
from apps.access.rows import conditions, visible, visible_case, visible_cases, visible_result
from apps.access.service import guarded_service
from apps.access.tokens import TokenFile
from apps.access.visible_library import VisibleLibrary

__all__ = [
    "LOCAL_PERSON",
    "NOBODY",
    "AccessFile",
    "Door",
    "Entry",
    "Guard",
    "Kind",
    "Need",
    "NotAllowedError",
    "Permission",
    "Person",
    "Role",
    "SameOrigin",
    "SecurityHeaders",
    "TokenFile",
    "VisibleLibrary",
    "conditions",
    "find_access_file",
    "guarded_service",
    "need_by_path",
    "open_door",
    "person_of",
    "person_of_handle",
    "read_access_file",
    "session_handle",
    "set_door",
    "trust_proxies",
    "visible",
    "visible_case",
    "visible_cases",
    "visible_result",
]
