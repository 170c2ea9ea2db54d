"""A test that forks runs in a process of its own.

A child of a process with threads (of OpenMP, ONNX Runtime, Arrow) may wait forever for a lock that
a thread held when it was forked.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile

import pytest

_IS_ALONE = "MEDEMBED_TEST_ALONE"
_SECONDS = 840


def ran_alone(request: pytest.FixtureRequest) -> bool:
    """Run the test that asks in a fresh process; False if this is that process.

    Fails the test as it failed there, or if it takes longer than 14 minutes.
    """
    if _IS_ALONE in os.environ:
        return False
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env |= {_IS_ALONE: "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    words = ["-q", "-m", "slow or not slow", request.node.nodeid]
    with tempfile.TemporaryFile("w+") as said:  # a pipe would be held by a child that hangs
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *words],
            cwd=request.config.rootpath,
            env=env,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and children that hang
            process.wait()
        said.seek(0)
        assert process.returncode == 0, said.read()
    return True
