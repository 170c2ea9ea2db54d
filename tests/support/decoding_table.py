"""Write docs/results/decoding.md: the decoder each file was compared with, and the difference.

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
# Decoding compared with other decoders

Every image of `pydicom` and `pydicom-data` that MedEmbed reads, compared with an independent
decoder after the same modality LUT, inversion of MONOCHROME1 and luminance (implemented a second
time, from the formulas, in `tests/scans/reference.py`). "Difference" is the largest one over all
pixels outside the padding, in stored steps; 0 means below 0.05. The tolerance is 1, and 2 for
lossy encodings. Of more than 16 frames, the first, middle and last are compared. "on FILE" is the
uncompressed original of the same image, read by DCMTK. What is refused, and why: [reading
scans](../reference/scans.md).

Made by `python tests/support/decoding_table.py`; `tests/scans/test_golden.py` checks that it is
up to date.

"""


def render(rows: Iterable[Row], refused: Iterable[tuple[str, str]]) -> str:
    lines = ["| file | encoding | compared with | frames | difference |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    lines += ["", "## Refused although they contain pixels", "", "| file | reason |", "|---|---|"]
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
