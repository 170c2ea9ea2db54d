"""axe-core in the browser: what it finds wrong on a page.

axe-core (MPL-2.0) is not part of the project. ``make test-browser`` puts it into
``.venv/axe`` with npm; without it, the tests that need it are skipped.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(sys.prefix) / "axe" / "node_modules" / "axe-core" / "axe.min.js"
BAD = ("serious", "critical")
# WCAG 2.0 to 2.2, A and AA, and axe's own good practice
RUN = "() => axe.run(document, {resultTypes: ['violations']})"


@cache
def source() -> str:
    """Give axe-core's script, or skip the test."""
    if not SCRIPT.exists():
        pytest.skip("axe-core is not installed (make .venv/axe; needs npm)")
    return SCRIPT.read_text(encoding="utf-8")


def serious(page: Any) -> list[str]:
    """List axe's serious and critical findings on the page as it is now, a line each element."""
    if page.evaluate("typeof window.axe") != "object":
        page.evaluate(source())  # through the driver: the page's own policy would refuse it
    found = page.evaluate(RUN)["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {' '.join(map(str, node['target']))} "
        f"{node['html'][:160]} | {node['failureSummary'].splitlines()[-1].strip()[:200]}"
        for rule in found
        if rule["impact"] in BAD
        for node in rule["nodes"]
    ]
