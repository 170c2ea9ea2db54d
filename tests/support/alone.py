"""A test that forks runs in a process of its own.

A child of a process with threads (of OpenMP, ONNX Runtime, Arrow) may wait forever for a lock that
a thread held when it was forked.
"""

from __future__ import annotations

import os
import subprocess
import sys

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
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=request.config.rootpath,
        env=env,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return True
