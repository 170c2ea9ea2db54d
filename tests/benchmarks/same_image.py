"""From which cosine on two images of one patient and day count as the same image.

    python tests/benchmarks/same_image.py LIBRARY [--n 60]

Prints the cosines between images and copies of them (8 bits, half the pixels, JPEG of quality 85),
and between different studies of one patient, which must stay apart.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.lookup.hit_groups import SAME_IMAGE
from medembed.scans import Scan, read_scan


def copies(scan: Scan) -> dict[str, Scan]:
    low, high = float(scan.pixels.min()), float(scan.pixels.max())
    gray = Image.fromarray(np.uint8((scan.pixels - low) / max(high - low, 1e-6) * 255 + 0.5))
    half = gray.resize((gray.width // 2, gray.height // 2), Image.Resampling.BILINEAR)
    file = io.BytesIO()
    gray.save(file, "JPEG", quality=85)
    made = {"8 bits": gray, "half the pixels": half, "JPEG": Image.open(file)}
    return {name: Scan(np.asarray(image, dtype=np.float32)) for name, image in made.items()}


def line(name: str, cosines: list[float]) -> str:
    low, first, middle, last = np.quantile(cosines, (0, 0.05, 0.5, 0.99))
    return (
        f"{name:32} n {len(cosines):5}  lowest {low:.4f}  5% {first:.4f}  "
        f"median {middle:.4f}  99% {last:.4f}  "
        f"counted as the same {np.mean(np.array(cosines) >= SAME_IMAGE):.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("--n", type=int, default=60, help="images to copy")
    asked = parser.parse_args()
    found: dict[str, list[float]] = {}
    with CaseLibrary.open(asked.library) as library, CaseLookup(library) as lookup:
        index, patients = lookup.index.index, library.patients()
        drawn = np.random.default_rng(0).permutation(library.split("test"))[: asked.n]
        for case in library.select(list(map(str, drawn))):
            scan = read_scan(library.scan_files(case)[0][0])
            if scan.pixels.ndim != 2:
                continue
            own = lookup.model.encode_scans([scan])[0]
            for name, copy in copies(scan).items():
                found.setdefault(f"copies: {name}", []).append(
                    float(own @ lookup.model.encode_scans([copy])[0])
                )
        of_patient: dict[str, list[str]] = {}
        for name, patient in patients.items():
            of_patient.setdefault(patient, []).append(name)
        others = found.setdefault("other studies of one patient", [])
        for names in of_patient.values():
            rows = np.stack([index.vector(name) for name in names])
            products = rows @ rows.T
            others += products[np.triu_indices(len(names), 1)].tolist()
    for name, cosines in found.items():
        print(line(name, cosines))


if __name__ == "__main__":
    main()
