"""The wheel holds the tracked files of its three packages and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("medembed", "evaluation", "apps")
BUILT_FROM = (*PACKAGES, "configs", "pyproject.toml", "README.md", "LICENSE")


def tracked(*paths: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return {name for name in listed if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, beside a stray folder of a name that begins like one of ours."""
    source = tmp_path_factory.mktemp("source")
    for name in tracked(*BUILT_FROM):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    (source / "evaluation_old").mkdir()
    (source / "evaluation_old/__init__.py").touch()
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(out), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (file,) = out.glob("*.whl")
    return zipfile.ZipFile(file)


@pytest.mark.slow
def test_it_holds_every_file_of_its_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if not re.match(r"medembed-[^/]+/", name)}
    assert held == tracked(*PACKAGES)


@pytest.mark.slow
def test_configurations_and_licence_travel_beside_the_packages(wheel: zipfile.ZipFile) -> None:
    beside = [name for name in wheel.namelist() if re.match(r"medembed-[^/]+/", name)]
    configs = {Path(name).name for name in beside if "/share/medembed/configs/" in name}
    assert configs == {Path(name).name for name in tracked("configs")}
    assert any(name.endswith("/LICENSE") for name in beside)


@pytest.mark.slow
def test_its_metadata_names_what_was_declared(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    points = wheel.read(name).decode()
    assert "medembed = medembed.cli:run" in points
    assert "audit = apps.audit:audit" in points


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_installs_under_our_names(package: str) -> None:
    assert set(packages_distributions().get(package, ())) <= {"medembed"}
