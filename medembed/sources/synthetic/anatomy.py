"""The parametric chest: organs of one patient at one breath, before any finding.

The numbers are those of adult anatomy as textbooks give them, rounded; they set what looks like a
chest, and are no statistics of any population.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from medembed.sources.synthetic.shapes import Ellipsoid, Floats, Shape, Stack

__all__ = ["Build", "Chest", "Clouds", "Curves", "Lung", "Pose", "draw_build", "organs"]

RIGHT, LEFT = -1, 1


@dataclass(frozen=True)
class Build:
    """What stays with a patient from study to study.

    Parameters
    ----------
    sex : {"F", "M"}
    half_width, half_depth, lung_height : float
        Of the thoracic cavity at full breath, mm.
    fat : float
        Thickness of the soft tissue over the ribs, mm.
    breast : float
        Depth of the breasts, mm; 0 for none.
    no_breast : {0, -1, 1}
        Side of a removed breast: -1 right, 1 left.
    ratio : float
        Heart over thoracic width without disease.
    aorta : float
        Size of the aorta, 1 is usual.
    knob_calcified, degenerative : bool
        Lime in the aortic arch; spurs at the spine.
    scoliosis, kyphosis : float
        Sideways bow (positive to the left) and added round back, mm.
    tree : int
        Which vessel tree.
    seed : int
        Seed of the patient's small irregularities.
    """

    sex: str
    half_width: float
    half_depth: float
    lung_height: float
    fat: float
    breast: float
    no_breast: int
    ratio: float
    aorta: float
    knob_calcified: bool
    degenerative: bool
    scoliosis: float
    kyphosis: float
    tree: int
    seed: int


@dataclass(frozen=True)
class Pose:
    """How a patient stands, or lies, for one study.

    Parameters
    ----------
    breath : float
        1 is a full breath; 0.75 a shallow one.
    rotation : float
        Radians; positive turns the front to the patient's left.
    supine : bool
    arms_forward : bool
        Shoulder blades drawn off the lungs.
    """

    breath: float = 1.0
    rotation: float = 0.0
    supine: bool = False
    arms_forward: bool = True


@dataclass
class Clouds:
    """Gaussian blobs of added density in the air of a lung.

    Parameters
    ----------
    centres : float32 array (n, 3), mm
    sigmas : float32 array (n, 3), mm
    amplitudes : float32 array (n,)
        Density at the centre, water is 1; negative takes away.
    """

    centres: Floats
    sigmas: Floats
    amplitudes: Floats


@dataclass
class Curves:
    """Points along vessels, tubes and lines.

    Parameters
    ----------
    points : float32 array (n, 3), mm
    volumes : float32 array (n,)
        mm³ of water equivalent; negative for air in soft tissue.
    radius : float
        Of the cross-section, mm.
    """

    points: Floats
    volumes: Floats
    radius: float


@dataclass
class Lung:
    """One lung, its pleural space and what lies in it.

    Parameters
    ----------
    side : {-1, 1}
        -1 right, 1 left.
    wall : Stack
        The chest wall's inner face.
    aerated : Stack
        The lung itself; smaller than ``wall`` where air or fluid lies between.
    pleural_density : float
        Of what lies between lung and wall: 0 air, 1 fluid.
    visceral_line : bool
        Whether the lung's edge shows as a line.
    density : float
        Of the lung's tissue, water is 1.
    vessels : float
        Factor on the vessels' volume.
    upper_vessels : float
        Further factor in the upper half.
    solids : list of Shape
        Nodules, masses, collapsed lobes: soft tissue with an edge.
    clouds, curves : lists
        Haze, and lines.
    """

    side: int
    wall: Stack
    aerated: Stack
    pleural_density: float = 1.0
    visceral_line: bool = False
    density: float = 0.25
    vessels: float = 1.0
    upper_vessels: float = 1.0
    solids: list[Shape] = field(default_factory=list)
    clouds: list[Clouds] = field(default_factory=list)
    curves: list[Curves] = field(default_factory=list)


@dataclass
class Chest:
    """Everything that stands in the way of the rays.

    Parameters
    ----------
    build, pose
        As drawn.
    lungs : dict of int to Lung
        Keys -1 right, 1 left.
    solids : list of Shape
        Soft tissue that displaces lung: heart, vessels, spine, diaphragm with all beneath.
    skin : list of Shape
        The body; their union.
    gas : list of Shape
        Bubbles beneath the diaphragm.
    wall_tissue : list of (Shape, density)
        Soft tissue added to the chest wall (blood about a fracture).
    bones, metal : list of Curves
        Water-equivalent volume added to soft tissue.
    airways : list of Curves
        Windpipe and main bronchi: negative volumes.
    apex_z, dome_z, base_z : float
        Heights in mm: top of the lungs, top of the right dome, foot of the recess.
    heart_width, cavity_width : float
        As a reader would measure them, mm.
    spine_x : pair of arrays
        Heights, and the spine's deviation to the left, mm.
    shift : float
        Of heart and mediastinum to the left, mm.
    """

    build: Build
    pose: Pose
    lungs: dict[int, Lung]
    solids: list[Shape]
    skin: list[Shape]
    gas: list[Shape]
    wall_tissue: list[tuple[Shape, float]]
    bones: list[Curves]
    metal: list[Curves]
    airways: list[Curves]
    apex_z: float
    dome_z: float
    base_z: float
    heart_width: float
    cavity_width: float
    spine_x: tuple[Floats, Floats]
    shift: float = 0.0


def draw_build(rng: np.random.Generator, sex: str, age: float, n_trees: int) -> Build:
    """Draw a patient's body."""
    female = sex == "F"
    tall = rng.normal(0, 1)
    fat = float(np.clip(rng.gamma(4.0, 4.5), 5, 45))
    old = max(0.0, (age - 55) / 35)
    return Build(
        sex=sex,
        half_width=(124 if female else 139) + 5 * tall + 3 * rng.normal(),
        half_depth=(78 if female else 88) + 3 * tall + 4 * rng.normal() + 6 * old,
        lung_height=(222 if female else 246) + 9 * tall + 6 * rng.normal(),
        fat=fat,
        breast=float(np.clip(rng.normal(13 + fat * 0.4, 6), 6, 42)) if female else 0.0,
        no_breast=int(rng.choice([-1, 1])) if female and age > 45 and rng.random() < 0.07 else 0,
        ratio=float(np.clip(rng.normal(0.435 + 0.015 * old, 0.018), 0.39, 0.48)),
        aorta=1 + 0.25 * old + 0.05 * rng.normal(),
        knob_calcified=bool(rng.random() < 0.7 * old),
        degenerative=bool(rng.random() < 0.75 * old),
        scoliosis=float(rng.choice([-1, 1]) * rng.uniform(14, 26)) if rng.random() < 0.09 else 0.0,
        kyphosis=float(old * rng.uniform(0, 25)),
        tree=int(rng.integers(n_trees)),
        seed=int(rng.integers(2**31)),
    )


def organs(
    build: Build,
    pose: Pose,
    *,
    ratio: float | None = None,
    raised: tuple[float, float] = (0.0, 0.0),
    shift: float = 0.0,
    flat: float = 1.0,
) -> Chest:
    """Build lungs, heart, mediastinum, diaphragm and skin.

    Parameters
    ----------
    build, pose
    ratio : float or None
        Heart over thoracic width; None takes the patient's own.
    raised : tuple of float
        By how much the right and the left dome stand too high, mm.
    shift : float
        By how much heart and mediastinum are pulled to the left, mm.
    flat : float
        Factor on the height of the domes.

    Returns
    -------
    Chest
        Without bones, vessels and findings.
    """
    height = build.lung_height * (0.55 + 0.45 * pose.breath)
    apex = 0.44 * build.lung_height
    base = apex - height
    level = base + 0.27 * flat * height * (1.12 - 0.12 * pose.breath)
    domes = {RIGHT: level + raised[0], LEFT: level - 11.0 * flat + raised[1]}
    heart_ratio = (build.ratio if ratio is None else ratio) + 0.05 * (1 - pose.breath)
    if pose.supine:
        heart_ratio += 0.015
    heart_width = heart_ratio * 2 * build.half_width
    spine_z = np.linspace(base - 90, apex + 70, 40, dtype=np.float32)
    phase = (spine_z - base) / height
    spine_x = (build.scoliosis * np.sin(np.pi * np.clip(phase, -0.4, 1.4))).astype(np.float32)
    return Chest(
        build=build,
        pose=pose,
        lungs={side: _lung(build, side, apex, base) for side in (RIGHT, LEFT)},
        solids=[
            *(shifted(s, shift) for s in _heart(heart_width, level - 11.0 * flat)),
            *(shifted(s, 0.8 * shift) for s in _mediastinum(build, apex, base)),
            _spine_tissue(build, apex, base, spine_z, spine_x),
            *(_dome(build, side, base, domes[side]) for side in (RIGHT, LEFT)),
        ],
        skin=_skin(build, apex, base),
        gas=_gas(build, base, domes[LEFT], pose),
        wall_tissue=[],
        bones=[],
        metal=[],
        airways=[],
        apex_z=apex,
        dome_z=domes[RIGHT],
        base_z=base,
        heart_width=heart_width,
        cavity_width=2 * build.half_width,
        spine_x=(spine_z, spine_x),
        shift=shift,
    )


def _lung(build: Build, side: int, apex: float, base: float) -> Lung:
    """Inner face of the chest wall on one side: a dome at the apex, open at the foot."""
    z = np.linspace(base - 22, apex, 72, dtype=np.float32)
    depth = np.clip((apex - z) / (apex - base), 0, 1)
    rise = np.sqrt(1 - (1 - np.clip(depth / 0.66, 0, 1)) ** 2.2)
    close = np.sqrt(1 - (1 - np.clip(depth / 0.11, 0, 1)) ** 2)
    top = 0.34 * build.half_width
    lateral = top + (build.half_width - top) * rise
    medial = top - (top - 5.0) * close
    thick = build.half_depth * (
        0.25 * close + 0.75 * np.sqrt(1 - (1 - np.clip(depth / 0.55, 0, 1)) ** 2)
    )
    back = 4 + 12 * (1 - np.clip(depth / 0.4, 0, 1))
    wall = Stack(
        z,
        (side * (lateral + medial) / 2).astype(np.float32),
        back.astype(np.float32),
        ((lateral - medial) / 2).astype(np.float32),
        thick.astype(np.float32),
        power=2.4,
    )
    return Lung(side=side, wall=wall, aerated=wall)


def _dome(build: Build, side: int, base: float, top: float) -> Stack:
    """One half of the diaphragm and all that lies beneath it."""
    rise = np.linspace(0, 1, 24, dtype=np.float32)
    grow = np.sqrt(1 - rise**1.35)
    foot = base + 4
    z = np.concatenate([np.array([base - 260, base - 24], np.float32), foot + (top - foot) * rise])
    half = build.half_width / 2
    rx = np.concatenate([np.full(2, half * 1.3, np.float32), (half + 6) * grow])
    ry = np.concatenate([np.full(2, build.half_depth * 1.4), build.half_depth * 1.0 * grow])
    cy = np.full(z.shape, -7.0, np.float32)
    cx = np.full(z.shape, side * (half - 1), np.float32)
    return Stack(z.astype(np.float32), cx, cy, rx.astype(np.float32), ry.astype(np.float32), 2.2)


def _heart(width: float, floor: float) -> list[Shape]:
    """Left heart, right heart and the trunk of the pulmonary artery."""
    right_edge, left_edge = -0.33 * width, 0.67 * width
    tilt = np.deg2rad(-34)
    long, short = 0.56 * width, 0.375 * width
    reach = float(np.hypot(long * np.cos(tilt), short * np.sin(tilt)))
    scale = 0.43 * width / reach
    long, short = long * scale, short * scale
    middle = left_edge - 0.43 * width
    rise = float(np.hypot(long * np.sin(tilt), short * np.cos(tilt)))
    low = floor - 12
    return [
        Ellipsoid((middle, -26, low + rise), (long, 0.33 * width, short), float(tilt)),
        Ellipsoid(
            (right_edge + 0.27 * width, -20, low + 0.40 * width),
            (0.27 * width, 0.30 * width, 0.40 * width),
        ),
        Ellipsoid((0.17 * width, -14, low + 0.72 * width), (0.16 * width, 22, 0.28 * width)),
    ]


def _mediastinum(build: Build, apex: float, base: float) -> list[Shape]:
    """Great vessels and aorta."""
    z = np.linspace(base - 20, apex + 60, 30, dtype=np.float32)
    share = np.clip((apex - z) / (apex - base), -0.4, 1)
    half = 17 + 9 * np.exp(-(((share - 0.33) / 0.12) ** 2)) - 6 * np.clip(share - 0.6, 0, 1)
    half = half + 14 * np.clip(-share / 0.2, 0, 1)
    flat = np.zeros_like(z)
    core = Stack(z, flat, flat + 8, half.astype(np.float32), flat + 36)
    aorta = build.aorta
    arch = apex - 0.27 * (apex - base)
    down = np.linspace(base - 40, arch, 20, dtype=np.float32)
    bow = np.sin(np.pi * np.clip((arch - down) / (arch - base), 0, 1))
    descending = Stack(
        down,
        (20 + 4 * aorta + 30 * max(0.0, aorta - 1.1) * bow).astype(np.float32),
        np.full(down.shape, 42, np.float32),
        np.full(down.shape, 11.5 * aorta, np.float32),
        np.full(down.shape, 11.5 * aorta, np.float32),
    )
    return [
        core,
        descending,
        Ellipsoid((20 + 5 * aorta, 14, arch), (16 * aorta, 26 * aorta, 15 * aorta)),
        Ellipsoid((-20 - 4 * (aorta - 1), -12, arch - 22), (13 * aorta, 18 * aorta, 52)),
    ]


def _spine_tissue(
    build: Build, apex: float, base: float, spine_z: Floats, spine_x: Floats
) -> Shape:
    """Vertebrae and what lies about them, as soft tissue; the bone is added to it."""
    back = spine_y(build, spine_z, apex, base)
    return Stack(spine_z, spine_x, back, np.full_like(spine_z, 19), np.full_like(spine_z, 24))


def spine_y(build: Build, z: Floats, apex: float, base: float) -> Floats:
    """Depth of the vertebral bodies' centres at heights ``z``."""
    share = (apex - z) / (apex - base)
    curve = 58 - (34 + build.kyphosis) * (share - 0.45) ** 2 * 1.6 + 0.22 * build.kyphosis
    return np.clip(curve, 6, None).astype(np.float32)


def _skin(build: Build, apex: float, base: float) -> list[Shape]:
    """Trunk with shoulders and neck, and the breasts."""
    wall = 15 + build.fat
    z = np.array(
        [base - 300, base - 40, apex - 120, apex - 60, apex - 25, apex + 8, apex + 30, apex + 48,
         apex + 140],
        dtype=np.float32,
    )  # fmt: skip
    side = build.half_width + wall
    neck = 52 + 0.4 * build.fat
    rx = np.array(
        [side - 6, side, side + 4, side + 22, side + 42, side + 30, neck + 60, neck + 8, neck],
        dtype=np.float32,
    )
    trunk = build.half_depth + 12 + 0.7 * build.fat
    ry = np.array(
        [trunk + 6, trunk, trunk, trunk - 4, trunk - 16, trunk - 28, 62, 56, 54], dtype=np.float32
    )
    cy = np.array([0, 0, 2, 4, 10, 14, 12, 10, 8], dtype=np.float32)
    shapes: list[Shape] = [Stack(z, np.zeros_like(z), cy, rx, ry, 2.5)]
    if build.breast > 0:
        level = apex - 0.70 * build.lung_height
        for s in (RIGHT, LEFT):
            if s != build.no_breast:
                shapes.append(
                    Ellipsoid(
                        (s * 0.56 * build.half_width, -trunk + 6, level),
                        (52 + 0.5 * build.fat, build.breast + 8, 52 + 0.4 * build.fat),
                    )
                )
    return shapes


def _gas(build: Build, base: float, dome: float, pose: Pose) -> list[Shape]:
    """The stomach's bubble, and now and then gas in the colon."""
    rng = np.random.default_rng([build.seed, 3])
    wide, flat = rng.uniform(16, 30), rng.uniform(7, 15)
    drop = 9 + flat + rng.uniform(0, 6)
    shapes: list[Shape] = [
        Ellipsoid(
            (0.46 * build.half_width, -18, dome - drop),
            (wide, 20, flat * (0.6 if pose.supine else 1)),
        )
    ]
    for _ in range(int(rng.integers(0, 3))):
        shapes.append(
            Ellipsoid(
                (rng.uniform(-0.7, 0.8) * build.half_width, -45, base - rng.uniform(30, 80)),
                (rng.uniform(12, 26), 15, rng.uniform(9, 15)),
            )
        )
    return shapes


def shifted(shape: Shape, by: float) -> Shape:
    """The same body moved along x."""
    if isinstance(shape, Ellipsoid):
        x, y, z = shape.centre
        return replace(shape, centre=(x + by, y, z))
    return replace(shape, cx=shape.cx + np.float32(by))
