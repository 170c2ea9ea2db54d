"""Confinement of a process: it gives up all rights that decoding does not need.

The kernel enforces it, called by ctypes: ``prctl(2)``, ``unshare(2)``, ``landlock(7)``. Measures
that the kernel lacks are skipped; the result lists those in force.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
from pathlib import Path
from typing import Literal

__all__ = ["Measure", "confine"]

Measure = Literal["limits", "no-new-privileges", "namespaces", "empty-root", "landlock"]

_PR_SET_NO_NEW_PRIVS = 38
_NAMESPACES = 0x10000000 | 0x40000000 | 0x08000000  # CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC
_CAPABILITIES = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same numbers on every architecture
_VERSION = 1
# Rights over files that each version of Landlock knows (the newest is the last).
_FILE_RIGHTS = (2**13 - 1, 2**14 - 1, 2**15 - 1, 2**15 - 1, 2**16 - 1)
_OPEN_FILES = 32


def confine() -> tuple[Measure, ...]:
    """Give up permanently the right to open, write or run any file, and the network.

    Open descriptors stay usable. Import everything needed before. Works for a single-threaded
    process.

    Returns
    -------
    tuple of str
        Measures in force: ``"limits"`` (open files; no child processes unless root), and on Linux
        ``"no-new-privileges"``, ``"namespaces"`` (no network, no shared memory of others),
        ``"empty-root"`` (no path exists), ``"landlock"`` (no file may be opened, no TCP).
    """
    for name in ("RLIMIT_NPROC", "RLIMIT_NOFILE"):
        if hasattr(resource, name):
            allowed = _OPEN_FILES if name == "RLIMIT_NOFILE" else 0
            resource.setrlimit(getattr(resource, name), (allowed, allowed))
    measures: list[Measure] = ["limits"]
    if not sys.platform.startswith("linux"):
        return tuple(measures)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        measures.append("no-new-privileges")
    alone = _is_one_thread()  # both apply to one thread only
    if alone and libc.unshare(_NAMESPACES) == 0:
        measures.append("namespaces")
    if _enter_empty_root():
        measures.append("empty-root")
    # capabilities of the new namespace, or of root
    libc.capset((ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)())
    if alone and "no-new-privileges" in measures and _landlock(libc):
        measures.append("landlock")
    return tuple(measures)


def _is_one_thread() -> bool:
    try:
        return len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 - names only
    except OSError:
        return False


def _enter_empty_root() -> bool:
    """Make an empty folder the root of all paths."""
    with contextlib.suppress(OSError):
        if Path("/proc/self/fdinfo").is_dir():
            os.chroot("/proc/self/fdinfo")
            os.chdir("/")
            return True
    return False


def _landlock(libc: ctypes.CDLL) -> bool:
    """Forbid every access to files by name, TCP, and signals and sockets of other processes."""
    syscall = libc.syscall
    syscall.restype = ctypes.c_long
    version = syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return False
    rights = _FILE_RIGHTS[min(version, len(_FILE_RIGHTS)) - 1]
    tcp = 3 if version >= 4 else 0  # bind and connect
    scoped = 3 if version >= 6 else 0  # abstract sockets and signals
    ruleset = (ctypes.c_uint64 * 3)(rights, tcp, scoped)
    size = 8 * (1 + (version >= 4) + (version >= 6))
    descriptor = syscall(
        ctypes.c_long(_CREATE_RULESET), ctypes.byref(ruleset), ctypes.c_size_t(size), 0
    )
    if descriptor < 0:
        return False
    try:
        return bool(syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(descriptor), 0) == 0)
    finally:
        os.close(descriptor)
