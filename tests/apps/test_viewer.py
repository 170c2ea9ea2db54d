"""The viewer as it is shipped: built from the source beside it, with all licenses, complete."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import apps.viewer
from apps.case_lookup.texts import ENGLISH
from apps.viewer import ViewerTexts
from apps.viewer.component import BUILT

FRONTEND = Path(apps.viewer.__file__).parent / "frontend"
SOURCES = ("package.json", "package-lock.json", "vite.config.js", "src")


def source_files(name: str) -> Iterator[str]:
    if not (FRONTEND / name).is_dir():
        yield name
        return
    for inside in sorted(path.name for path in (FRONTEND / name).iterdir()):
        yield from source_files(f"{name}/{inside}")


def test_the_build_belongs_to_the_source() -> None:
    """If this fails: ``npm ci && npm run build`` in apps/viewer/frontend."""
    digest = hashlib.sha256()
    for name in (file for source in SOURCES for file in source_files(source)):
        digest.update(f"{name}\0".encode() + (FRONTEND / name).read_bytes() + b"\0")
    assert (BUILT / "SOURCE_SHA256").read_text().strip() == digest.hexdigest()


def test_the_build_has_one_entry_and_every_part_that_it_names() -> None:
    (entry,) = BUILT.glob("index-*.js")
    named = set(re.findall(rb"[\"'`]\./([\w.-]+\.(?:js|wasm))[\"'`]", entry.read_bytes()))
    assert {name.decode() for name in named} <= {file.name for file in BUILT.iterdir()}
    assert not list(BUILT.glob("*.map"))


def test_every_package_of_the_build_has_its_license() -> None:
    text = (BUILT / "THIRD_PARTY_LICENSES").read_text(encoding="utf-8")
    titles = re.findall(r"^=+\n\n(\S+) (\S+)\nLicense: (.+)$", text, re.MULTILINE)
    names = {name for name, _, _ in titles}
    assert {"@cornerstonejs/core", "@cornerstonejs/tools", "@kitware/vtk.js", "gl-matrix"} <= names
    permissive = re.compile(r"\(?(MIT|BSD|Apache|ISC|0BSD|Zlib|Unlicense|CC0|BSL-1.0|WTFPL OR MIT)")
    assert not [title for title in titles if not permissive.match(title[2])]


def test_the_lock_pins_every_package_by_digest_and_names_no_host() -> None:
    lock = json.loads((FRONTEND / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert len(packages) > 10
    assert not [name for name, entry in packages.items() if "integrity" not in entry]
    assert not [name for name, entry in packages.items() if "resolved" in entry]


def test_every_text_is_shown_somewhere() -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in (FRONTEND / "src").glob("*.js"))
    for field in fields(ViewerTexts):
        assert re.search(rf"[.\"]{field.name}\b", source), field.name
    for name in re.findall(r"\btexts\.(\w+)", source):
        assert hasattr(ENGLISH.viewer, name), name


def test_the_frontends_own_tests_pass() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    done = subprocess.run(
        [node, "--test", *(str(file) for file in sorted((FRONTEND / "test").glob("*.test.js")))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
