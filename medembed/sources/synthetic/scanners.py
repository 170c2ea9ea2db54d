"""The sites of the cohort and their scanners."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from medembed.sources.synthetic.projection import Scanner

__all__ = ["SCANNERS", "SITES"]

_ALL = (
    Scanner("A1", "Synthetic Maker One", "Chest DR 100", 300, 0.05, 0.5, 4.2, 0.50, False, "DX"),
    Scanner("A2", "Synthetic Maker Two", "Plate CR 20", 150, 0.07, 0.8, 3.8, 0.35, False, "CR"),
    Scanner("B1", "Synthetic Maker Two", "Wall DR 7", 240, 0.06, 0.6, 4.6, 0.70, True, "DX"),
    Scanner("C1", "Synthetic Maker Three", "Mobile CR 3", 110, 0.09, 0.9, 4.0, 0.45, False, "CR"),
    Scanner("C2", "Synthetic Maker One", "Chest DR 200", 420, 0.04, 0.4, 4.8, 0.60, False, "DX"),
)

SCANNERS: Mapping[str, Scanner] = MappingProxyType({s.name: s for s in _ALL})
"""Every scanner by name."""

SITES: Mapping[str, tuple[Scanner, ...]] = MappingProxyType(
    {
        "site-A": (SCANNERS["A1"], SCANNERS["A2"]),
        "site-B": (SCANNERS["B1"],),
        "site-C": (SCANNERS["C1"], SCANNERS["C2"]),
    }
)
"""The scanners of each site."""
