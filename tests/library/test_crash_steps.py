"""Whatever step of writing a crash ends, what was acknowledged is there and all can be read.

The whole: ``tests/benchmarks/kill_nine.py``; every kind of damage:
``tests/benchmarks/mutated_files.py``.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.alone import ran_alone
from support.crash_steps import Fault

if TYPE_CHECKING:
    from support.crash_trials import Trials

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks and reads /proc"),
    # each child does little before it ends, and starts no thread that the parent had
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]

OPERATIONS = (
    "add",
    "ingest",
    "vectors",
    "embed",
    "index",
    "erase",
    "backup",
    "restore",
    "create",
)
KINDS = ("before", "after", "torn", "full")


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    from support.crash_trials import Trials

    return Trials(tmp_path_factory.mktemp("crash") / "trials")


def test_a_crash_at_a_write_step_loses_nothing_acknowledged(
    request: pytest.FixtureRequest,
) -> None:
    if ran_alone(request):
        return
    trials: Trials = request.getfixturevalue("trials")
    for name in OPERATIONS:
        n_steps, chance = len(trials.steps(name)), random.Random(name)
        for kind in KINDS:
            # another step on each run would find more, and nobody could repeat it
            assert trials.crash(name, Fault(chance.randrange(n_steps), kind, chance.random())) == ""


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_damage_to_a_derived_file_changes_no_answer(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    if ran_alone(request):
        return
    from support.mutations import KINDS, Mutations

    mutations, chance = Mutations(tmp_path / kind, kind), random.Random(kind)
    every = [(file, how) for file in mutations.files() for how in KINDS]
    for file, how in chance.sample(every, 10):
        assert mutations.damage(file, how, chance) == ""
