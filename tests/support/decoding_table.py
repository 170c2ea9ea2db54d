"""Write docs/results/decoding.md: which file was compared with which decoder, and how far apart.

Run from the project's root: ``python tests/support/decoding_table.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs/results/decoding.md"


@dataclass(frozen=True)
class Row:
    name: str
    encoding: str
    oracle: str
    frames: int
    difference: float

    def cells(self) -> tuple[str, str, str, str, str]:
        apart = f"{self.difference:.1f}" if self.difference >= 0.05 else "0"
        return self.name, self.encoding, self.oracle, str(self.frames), apart


HEAD = """\
# Decoding, against other decoders

Every image in `pydicom` and `pydicom-data` that is read, against an independent decoder, after the
same modality LUT, inversion of MONOCHROME1 and luminance (written again, by the formulas, in
`tests/scans/reference.py`). "Apart" is the largest difference over all pixels outside the padding,
in stored steps; 0 means below 0.05. Allowed: 1, and 2 where the encoding is lossy. Of more than 16
frames the first, middle and last are compared. "on FILE" means the uncompressed original of the
same image, read by DCMTK. What is refused, and why: [reading scans](../reference/scans.md).

Made by `python tests/support/decoding_table.py`; `tests/scans/test_golden.py` checks that it is
up to date.

"""


def render(rows: Iterable[Row], refused: Iterable[tuple[str, str]]) -> str:
    lines = ["| file | encoding | compared with | frames | apart |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    lines += ["", "## Refused although they hold pixels", "", "| file | reason |", "|---|---|"]
    lines += [f"| {name} | `{reason}` |" for name, reason in refused]
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from scans.golden import compared, refused_with_pixels

    rows = list(compared())
    TABLE.write_text(render(rows, refused_with_pixels()), encoding="utf-8")
    print(f"{TABLE.relative_to(ROOT)}: {len(rows)} files")


if __name__ == "__main__":
    main()
