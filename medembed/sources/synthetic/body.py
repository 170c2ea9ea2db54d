"""The nouns of the parametric chest: a patient's body, a pose, and everything in the beam.

The numbers are those of adult anatomy as textbooks give them, rounded; they make it look like
a chest and describe no population.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from medembed.sources.synthetic.shapes import Floats, Shape, Stack

__all__ = [
    "LEFT",
    "RIGHT",
    "Build",
    "Chest",
    "Clouds",
    "Curves",
    "Lung",
    "Pose",
    "draw_build",
]

RIGHT, LEFT = -1, 1


@dataclass(frozen=True)
class Build:
    """Traits of a patient that all studies share.

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
        Calcified aortic arch; spurs of the spine.
    scoliosis, kyphosis : float
        Lateral curve (positive to the left) and additional kyphosis, mm.
    tree : int
        Index of the vessel tree.
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
    """Position of a patient in one study.

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
    centers : float32 array (n, 3), mm
    sigmas : float32 array (n, 3), mm
    amplitudes : float32 array (n,)
        Density at the center, water is 1; negative takes away.
    """

    centers: Floats
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
    """One lung, its pleural space and their contents.

    Parameters
    ----------
    side : {-1, 1}
        -1 right, 1 left.
    wall : Stack
        The chest wall's inner face.
    aerated : Stack
        The lung itself; smaller than ``wall`` if there is air or fluid between them.
    pleural_density : float
        Of the space between lung and wall: 0 air, 1 fluid.
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
    """Everything that attenuates the beam.

    Parameters
    ----------
    build, pose
        As drawn.
    lungs : dict of int to Lung
        Keys -1 right, 1 left.
    solids : list of Shape
        Soft tissue that displaces lung: heart, vessels, spine, diaphragm with everything beneath.
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
