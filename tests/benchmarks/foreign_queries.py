"""Images and words that are foreign to an archive of chest radiographs, made from seeds."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from medembed.scans import Scan

Floats = npt.NDArray[np.float64]


def _unit(values: npt.NDArray[np.float32]) -> Floats:
    low, high = np.percentile(values, (0.5, 99.5))
    return np.clip((values.astype(np.float64) - low) / max(high - low, 1e-9), 0, 1)


def inverted(scan: Scan, rng: np.random.Generator) -> Scan:
    return replace(scan, pixels=scan.pixels.max() + scan.pixels.min() - scan.pixels, windows=(),
                   voi_luts=())  # fmt: skip


def rotated_90(scan: Scan, rng: np.random.Generator) -> Scan:
    turns = int(rng.choice([1, 3]))
    spacing = scan.spacing_mm[::-1] if scan.spacing_mm else None
    return replace(scan, pixels=np.rot90(scan.pixels, turns).copy(), spacing_mm=spacing)


def rotated_180(scan: Scan, rng: np.random.Generator) -> Scan:
    return replace(scan, pixels=np.rot90(scan.pixels, 2).copy())


def screen_photo(scan: Scan, rng: np.random.Generator) -> Scan:
    """A phone's photograph of a monitor: perspective, pixel grid, glare, bezel, JPEG."""
    image = Image.fromarray((_unit(scan.pixels) * 255).astype(np.uint8)).resize((400, 400))
    width, height = 640, 480
    # The monitor: a bezel around the image, on a wall.
    monitor = Image.new("L", (560, 440), int(rng.integers(10, 50)))
    monitor.paste(image, (80, 20))
    wall = float(rng.uniform(70, 190))
    y, x = np.mgrid[:height, :width].astype(np.float64)
    photo = wall + 25 * np.sin(x / 90 + rng.uniform(0, 6)) + rng.normal(0, 3, (height, width))
    # Perspective: the four corners of the monitor, each moved by up to 5% of the photo.
    margin = rng.uniform(0.02, 0.12)
    corners = np.array([[margin, margin], [1 - margin, margin], [1 - margin, 1 - margin],
                        [margin, 1 - margin]])  # fmt: skip
    corners = (corners + rng.uniform(-0.05, 0.05, (4, 2))) * (width, height)
    source = np.array([[0, 0], [559, 0], [559, 439], [0, 439]], dtype=np.float64)
    rows = []
    for (u, v), (a, b) in zip(corners, source, strict=True):
        rows += [[u, v, 1, 0, 0, 0, -a * u, -a * v], [0, 0, 0, u, v, 1, -b * u, -b * v]]
    h = np.append(np.linalg.solve(np.array(rows), source.reshape(-1)), 1).reshape(3, 3)
    a, b, c = np.tensordot(h, np.stack([x, y, np.ones_like(x)]), 1)
    a, b = a / c, b / c
    inside = (a >= 0) & (a <= 559) & (b >= 0) & (b <= 439)
    shown = ndimage.map_coordinates(np.asarray(monitor, np.float64), [b, a], order=1)
    # Moiré: the screen's pixel grid beats against the camera's.
    pitch = rng.uniform(2.1, 3.4)
    beat = np.cos(2 * np.pi * a / pitch) + np.cos(2 * np.pi * b / pitch)
    shown = 20 + 0.8 * shown + rng.uniform(4, 10) * beat
    photo = np.where(inside, shown, photo)
    # Glare of a lamp or window.
    at = rng.uniform(0.2, 0.8, 2) * (height, width)
    reach = rng.uniform(40, 110)
    photo += rng.uniform(60, 140) * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / 2 / reach**2)
    photo = np.clip(ndimage.gaussian_filter(photo, 0.7) + rng.normal(0, 2, photo.shape), 0, 255)
    held = io.BytesIO()
    Image.fromarray(photo.astype(np.uint8)).save(held, "JPEG", quality=80)
    return Scan(np.asarray(Image.open(held), np.float32))


def noise(scan: Scan, rng: np.random.Generator) -> Scan:
    white = rng.normal(size=(256, 256))
    return Scan(ndimage.gaussian_filter(white, float(rng.choice([0, 0, 1, 3]))).astype(np.float32))


def texture(scan: Scan, rng: np.random.Generator) -> Scan:
    """Clouds, wood, stones or foliage."""
    n = 256
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n)))
    f[0, 0] = 1
    slope = rng.uniform(1.0, 1.8)
    cloud = np.fft.ifft2(np.fft.fft2(rng.normal(size=(n, n))) / f**slope).real
    cloud = (cloud - cloud.mean()) / cloud.std()
    kind = int(rng.integers(4))
    y, x = np.mgrid[:n, :n]
    if kind == 0:
        values = cloud
    elif kind == 1:
        values = np.sin(rng.uniform(0.1, 0.4) * (x * rng.uniform(0.1, 1) + y * 0.1) + cloud)
    elif kind == 2:
        points = rng.uniform(0, n, (int(rng.integers(15, 80)), 2))
        marks = np.ones((n, n))
        marks[tuple(points.astype(int).T)] = 0
        values = ndimage.distance_transform_edt(marks) + 2 * cloud
    else:
        values = np.zeros((n, n))
        for _ in range(200):
            cy, cx, r = rng.uniform(0, n), rng.uniform(0, n), rng.uniform(5, 25)
            angle = rng.uniform(0, np.pi)
            u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
            v = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
            values = np.where((u / r) ** 2 + (v / r * 2.5) ** 2 < 1, rng.uniform(0, 1), values)
        values = ndimage.gaussian_filter(values, 1)
    return Scan(values.astype(np.float32))


CHANGED: dict[str, Callable[[Scan, np.random.Generator], Scan]] = {
    "inverted": inverted,
    "rotated by 90°": rotated_90,
    "rotated by 180°": rotated_180,
    "photograph of a screen": screen_photo,
    "noise": noise,
    "texture": texture,
}
"""Foreign images, each made from a radiograph of the archive or, where it needs none, a seed."""

WORDS = (
    "brain tumour", "brain tumor", "banana", "banana bread", "brain", "meniscus", "gallstones",
    "prostate cancer", "liver cirrhosis", "multiple sclerosis plaques", "wifi password",
    "hello world", "the weather is nice today", "stock market prices fell", "fettuccine recipe",
    "torn anterior cruciate ligament", "renal stone in the left kidney", "cat videos",
    "infarction in the territory of the middle cerebral artery", "appendicitis",
    "fracture of the distal radius", "hip replacement", "cheap flights to Rome",
    "dilated bile ducts", "pregnancy at twelve weeks", "how to fix a bicycle", "hippocampus",
    "the left knee shows a torn medial meniscus with a joint effusion", "disc herniation L4/L5",
    "lumbar vertebra", "chess opening theory", "ovarian cyst", "diverticulitis of the sigmoid",
)  # fmt: skip
"""Texts about other organs, or about nothing in medicine."""

NO_MEDICINE = (
    "banana", "banana bread", "wifi password", "hello world", "the weather is nice today",
    "stock market prices fell", "fettuccine recipe", "cat videos", "cheap flights to Rome",
    "how to fix a bicycle", "chess opening theory", "guitar lessons for beginners",
    "train tickets", "lottery numbers", "football results", "tax return deadline",
)  # fmt: skip

OTHER_LANGUAGES = (
    "Lungenembolie", "Pleuraerguss links", "Kein Nachweis eines Pneumothorax", "Rippenfraktur",
    "Herz normal groß, kein Stauungszeichen", "épanchement pleural gauche", "fracture de côte",
    "le cœur est de taille normale sans signe de décompensation", "derrame pleural izquierdo",
    "no se observan consolidaciones ni neumotórax", "cardiomegalia leve", "versamento pleurico",
    "cuore nei limiti, non addensamenti parenchimali", "opłucna", "odma opłucnowa po prawej",
    "плевральный выпот слева", "перелом ребра", "胸水", "左側の気胸", "흉수", "انصباب جنبي",
    "plevral efüzyon", "hartvergroting", "pleuravätska på vänster sida",
)  # fmt: skip

REPORTS = (
    "MRI of the brain with gadolinium. There is an enhancing mass in the left temporal lobe with "
    "surrounding vasogenic oedema and midline shift of 5 mm. The ventricles are compressed. No "
    "haemorrhage. Impression: high grade glioma of the left temporal lobe.",
    "MRI of the right knee. There is a tear of the posterior horn of the medial meniscus. The "
    "anterior cruciate ligament is intact. Small joint effusion and a Baker cyst. The cartilage of "
    "the patella is thinned. Impression: meniscal tear.",
    "Ultrasound of the abdomen. The liver is enlarged with increased echogenicity. The gallbladder "
    "contains several stones without wall thickening. The kidneys show no hydronephrosis. "
    "Impression: fatty liver and cholelithiasis.",
    "Mammography of both breasts. In the upper outer quadrant of the left breast there is a "
    "cluster of pleomorphic microcalcifications over 12 mm. No architectural distortion. "
    "Impression: BI-RADS 4, biopsy recommended.",
    "Röntgenaufnahme des Thorax in zwei Ebenen. Das Herz ist normal groß. Kein Pleuraerguss, kein "
    "Pneumothorax. Keine Infiltrate. Beurteilung: unauffälliger Befund der Thoraxorgane ohne "
    "Zeichen einer Stauung.",
    "Radiographie du thorax de face. Le cœur est augmenté de volume. Épanchement pleural gauche de "
    "faible abondance. Pas de pneumothorax ni de foyer parenchymateux. Conclusion : décompensation "
    "cardiaque débutante.",
    "Radiografía de tórax. Silueta cardíaca dentro de los límites normales. No se observan "
    "consolidaciones ni derrame pleural. Senos costofrénicos libres. Impresión: estudio sin "
    "hallazgos patológicos relevantes en este momento.",
    "Preheat the oven to 180 degrees. Mash the bananas with the sugar and the melted butter, add "
    "the eggs and the flour, and bake the bread for fifty minutes until a skewer comes out clean. "
    "Let it cool before slicing.",
)

OWN_WORDS = (
    "pleural effusion", "effusion", "cardiomegaly", "rib fracture", "lung nodule", "emphysema",
    "patients who have pneumothorax", "cardiomegaly can be seen", "search for lung nodule",
    "pleural effusion but not edema", "show me cases with cardiomegaly", "enlarged heart",
    "small left effusion without cardiomegaly in a 60-year-old woman", "pulmonary edema",
    "pulmonary fibrosis", "mass in the left upper lobe", "consolidation of the right lower lobe",
    "large pneumothorax on the left", "pacemaker", "atelectasis", "interstitial opacities",
    "a woman with congestion and effusions on both sides", "calcified granuloma", "scoliosis",
    "rib fracture in the absence of pneumothorax", "normal heart size", "clear lungs",
)  # fmt: skip
"""Queries that such an archive answers, as a reader would type them."""

OTHER_NAMES = (
    "heart failure", "congestive heart failure", "hemothorax", "infiltrate", "collapsed lung",
    "infiltrates in the right lung", "COVID-19 pneumonia", "hydrothorax", "broken rib", "pneumonia",
    "pulmonary tumor", "lung tumour", "air in the pleural space", "fluid in the lungs", "COPD",
    "lung cancer", "fluid overload", "airspace disease", "water on the lung", "CHF",
    "enlarged cardiac silhouette", "hyperinflation", "mediastinal shift",
)  # fmt: skip
"""What such an archive holds, mostly in words that none of its reports uses."""

OTHER_PARTS = (
    "thyroid nodule", "macular edema", "leg edema", "skull fracture", "ankle fracture",
    "nasal bone fracture", "breast mass", "liver mass", "kidney mass", "brain edema",
    "bone marrow edema", "adrenal nodule", "knee effusion", "joint effusion of the knee",
    "fractured femur", "scoliosis of the lumbar spine", "subdural hematoma", "hydrocephalus",
    "mass in the pancreas", "fracture of the left humerus", "edema of both legs",
    "nodule of the vocal cord", "pneumonia in a dog", "heart failure in cats",
    "copd inhaler prices", "ascites", "small bowel obstruction", "free air under the diaphragm",
    "liver fibrosis", "uterine fibroid", "pelvic mass", "effusion of the hip", "renal failure",
    "liver failure", "gastric emphysema", "subcutaneous emphysema",
)  # fmt: skip
"""A finding that such an archive holds, but elsewhere in the body, or a diagnosis it lacks."""
