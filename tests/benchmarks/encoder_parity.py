"""Write the table of encoder families whose vectors equal those of their own library.

python tests/benchmarks/encoder_parity.py > docs/results/encoders.md

Each row is a test: a tiny random network is saved by its own library, loaded by MedEmbed, and both
give the vectors of the same pictures or texts. The tests compare to 1e-5, preprocessing or
tokenizing included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = {
    "tests/encoders/test_image_parity.py": "images, transformers as the oracle",
    "tests/encoders/test_medical_image.py": "images, medical checkpoints and open_clip",
    "tests/encoders/test_text_parity.py": "texts, transformers and sentence-transformers",
    "tests/encoders/test_open_clip_text.py": "texts, open_clip as the oracle",
    "tests/encoders/test_siglip_tokenizer.py": "SigLIP's tokenizer, sentencepiece as the oracle",
}
HEAD = f"""# Encoders: parity with their own libraries

    {(__doc__ or "").splitlines()[2]}

A tiny random network of each family is saved by its own library and loaded by name; both give
the vectors of the same pictures or texts, preprocessing and tokenizing included, and the tests
compare them to 1e-5 of the largest value. Networks of open_clip, timm and TorchXRayVision ran once
with their own code, and their vectors are kept (`tests/encoders/golden`); MedicalNet, SwinUNETR and
bundles are compared with MONAI. No published checkpoint could be downloaded where this was run.
"""


def outcomes(file: str) -> dict[str, list[tuple[str, bool]]]:
    """Claims of a test file, each with its cases and whether they hold."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", file]
        subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
        found: dict[str, list[tuple[str, bool]]] = defaultdict(list)
        for case in ET.parse(report).iter("testcase"):
            name, _, rest = case.get("name", "").partition("[")
            claim = name.removeprefix("test_").replace("_", " ")
            found[claim].append((rest.rstrip("]"), len(case) == 0))
    return found


def main() -> None:
    """Print the page."""
    print(HEAD)
    for file, title in FILES.items():
        print(f"## {title[0].upper()}{title[1:]}\n\n`{file}`\n")
        print("| claim | cases | holds |\n|---|---|---|")
        for claim, cases in outcomes(file).items():
            names = ", ".join(name for name, _ in cases if name).replace("|", "\\|") or "–"
            good = sum(holds for _, holds in cases)
            print(f"| {claim} | {names} | {good} of {len(cases)} |")
        print()


if __name__ == "__main__":
    main()
