"""Draw the contact sheet of the synthetic cohort for the docs.

::

    python tests/benchmarks/cohort_sheet.py docs/results/synthetic-cohort.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from medembed.sources.synthetic.body import Pose, draw_build
from medembed.sources.synthetic.ct import chest_volume, ct_grid
from medembed.sources.synthetic.findings import build_chest
from medembed.sources.synthetic.lesion import Lesion
from medembed.sources.synthetic.projection import make_view, radiograph
from medembed.sources.synthetic.scanners import SCANNERS
from medembed.sources.synthetic.vessels import N_TREES

SIZE = 256
DEVICE = "support device"
TILES: tuple[tuple[str, str, tuple[Lesion, ...]], ...] = (
    ("normal, PA", "PA", ()),
    ("normal, AP supine", "AP", ()),
    ("normal, lateral", "LATERAL", ()),
    ("effusion left, moderate", "PA", (Lesion("effusion", "left", size=88),)),
    ("effusion right, mild", "PA", (Lesion("effusion", "right", size=46, degree="mild"),)),
    ("consolidation right upper lobe", "PA",
     (Lesion("consolidation", "right", size=72, spot=(0.2, 0.0, 0.3), seed=4),)),
    ("pneumothorax left, moderate", "PA", (Lesion("pneumothorax", "left", size=36),)),
    ("nodule right, 20 mm", "PA", (Lesion("nodule", "right", size=20, spot=(0.3, 0, 0.42)),)),
    ("mass left upper lobe, 5.5 cm", "PA",
     (Lesion("mass", "left", size=55, spot=(0.1, 0, 0.32), seed=8),)),
    ("atelectasis right lower lobe", "PA",
     (Lesion("atelectasis", "right", degree="severe", kind="lower"),)),
    ("fracture left 5th to 7th ribs", "PA",
     (Lesion("fracture", "left", size=12, degree="severe", ribs=(5, 6, 7), spot=(0.5, 0, 0)),)),
    ("cardiomegaly, ratio 0.63", "PA", (Lesion("cardiomegaly", size=0.63),)),
    ("edema, moderate", "PA", (Lesion("edema", seed=2),)),
    ("emphysema, severe", "PA", (Lesion("emphysema", degree="severe", seed=3),)),
    ("fibrosis, moderate", "PA", (Lesion("fibrosis", seed=7),)),
    ("dual-chamber pacemaker, left", "PA", (Lesion(DEVICE, "left", "dual", kind="pacemaker"),)),
    ("tube, line, gastric tube, AP", "AP",
     (Lesion(DEVICE, kind="endotracheal tube"), Lesion(DEVICE, "right", kind="central line"),
      Lesion(DEVICE, kind="nasogastric tube"))),
    ("CT, lung window", "CT", (Lesion("mass", "left", size=45, spot=(0.1, 0, 0.4), seed=8),)),
    ("CT, mediastinum, effusion right", "CT soft", (Lesion("effusion", "right", size=110),)),
    ("CT, coronal", "CT coronal", (Lesion("nodule", "right", size=24, spot=(0.2, 0, 0.4)),)),
)  # fmt: skip


def tile(number: int, view: str, lesions: tuple[Lesion, ...]) -> np.ndarray:
    """One picture (SIZE, SIZE), uint8."""
    rng = np.random.default_rng(number)
    build = draw_build(rng, "MF"[number % 2], 35 + 5 * (number % 9), N_TREES)
    supine = view not in ("PA", "LATERAL")
    pose = Pose(breath=0.86 if supine else 0.97, supine=supine, arms_forward=view != "AP")
    chest = build_chest(build, pose, lesions, 1.0)
    if not view.startswith("CT"):
        field = 2 * build.half_width + (140 if view == "AP" else 95)
        shot = make_view(view, chest, SIZE, field)
        image = radiograph(chest, shot, SCANNERS["C2"], rng)
        return (255 * image).astype(np.uint8)
    grid = ct_grid(chest, SIZE)
    volume = chest_volume(chest, grid) + rng.normal(0, 14, grid.shape)
    if view == "CT coronal":
        middle = volume[::-1, SIZE // 2 + 4]
        picture = Image.fromarray(middle.astype(np.float32)).resize((SIZE, SIZE))
        plane, low, width = np.asarray(picture), -1350, 1500
    else:
        soft = view == "CT soft"
        level = int(np.argmin(np.abs(grid.z - (chest.dome_z + (12 if soft else 58)))))
        plane, low, width = volume[level], -160 if soft else -1350, 400 if soft else 1500
    return (np.clip((plane - low) / width, 0, 1) * 255).astype(np.uint8)


def main(target: Path) -> None:
    """Draw the sheet and save it with few enough gray levels to stay small."""
    columns = 5
    rows = -(-len(TILES) // columns)
    step = SIZE + 18
    sheet = Image.new("L", (columns * (SIZE + 2), rows * step), 0)
    pen = ImageDraw.Draw(sheet)
    for number, (title, view, lesions) in enumerate(TILES):
        left, top = number % columns * (SIZE + 2), number // columns * step
        pen.text((left + 4, top + 3), title, fill=210)
        sheet.paste(Image.fromarray(tile(number, view, lesions)), (left, top + 18))
    sheet.quantize(48).save(target, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path, help="the image, for example sheet.png")
    main(parser.parse_args().target)
