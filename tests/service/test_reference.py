"""The reference in docs is that of this tree, and the guide's limits are the defaults."""

from __future__ import annotations

import re
from pathlib import Path

from apps.service import ServiceSettings
from tests.service.reference_source import PAGE, reference


def test_the_reference_is_that_of_this_tree() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "regenerate: .venv/bin/python tests/service/reference_source.py"
    )


def test_the_guide_names_the_limits_of_the_service() -> None:
    guide = (Path(__file__).parents[2] / "docs/guides/service.md").read_text(encoding="utf-8")
    table = guide.partition("## Limits")[2].partition("\n\n")[0] + guide
    defaults = ServiceSettings(Path("library"))
    for option, value in (
        ("--rate", f"{defaults.rate:g}"),
        ("--searches", str(defaults.searches)),
        ("--queue", str(defaults.queue)),
        ("--seconds", f"{defaults.seconds:g} s"),
        ("--max-k", str(defaults.max_k)),
        ("--batch-lines", f"{defaults.max_lines:,}"),
        ("--upload-mib", f"{defaults.max_upload_bytes // 2**20} MiB, {defaults.max_files:,} files"),
    ):
        row = next(line for line in table.splitlines() if f"`{option}`" in line and "|" in line)
        assert re.search(rf"\| {re.escape(value)}\b", row), row


def test_the_guide_names_every_metric(library_path: Path) -> None:
    from apps.service.metrics import Metrics

    guide = (Path(__file__).parents[2] / "docs/guides/service.md").read_text(encoding="utf-8")
    metrics = Metrics()
    names = {metric.name for metric in metrics._registry.collect()}
    assert names
    assert [name for name in sorted(names) if f"`{name}" not in guide] == []
