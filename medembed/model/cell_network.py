"""A small trained network over the cells of a frozen encoder's feature map."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

__all__ = ["REGIONS", "CellNetwork"]

REGIONS = 4
"""Regions along each axis whose mean and maximum are kept; fewer cells have a region each."""


class CellNetwork(nn.Module):
    """Learns what a finding looks like from all cells at once, then keeps where it was.

    A linear projection of a grid has weights of its own for every cell: a nodule must have been
    seen in each. Here two convolutions are shared by all cells; the mean and the maximum of each
    region follow, and so a small thing is not averaged away. Inputs and outputs are centered and
    scaled over the training images.

    Parameters
    ----------
    width : int
        Channels of a cell.
    grid : int
        Cells along each axis.
    channels : int
        Channels of both convolutions.
    dimensions : {2, 3}

    Attributes
    ----------
    width : int
        Number of features that it returns.
    """

    def __init__(self, width: int, grid: int, channels: int, dimensions: int) -> None:
        super().__init__()
        flat = dimensions == 2
        conv = nn.Conv2d if flat else nn.Conv3d
        self._shape = (width, *(grid,) * dimensions)
        self._regions = (min(grid, REGIONS),) * dimensions
        self.width = 2 * channels * self._regions[0] ** dimensions
        self.scale_in = (nn.BatchNorm2d if flat else nn.BatchNorm3d)(width, affine=False)
        self.narrow = conv(width, channels, 1)
        self.look = conv(channels, channels, 3, padding=1)
        self.scale_out = nn.BatchNorm1d(self.width, affine=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features ``(n, width * grid ** dimensions)`` to ``(n, self.width)``."""
        cells = self.scale_in(features.reshape(-1, *self._shape))
        seen = functional.relu(self.look(functional.relu(self.narrow(cells))))
        f, regions = functional, cast(Any, self._regions)
        if len(regions) == 2:
            parts = [f.adaptive_avg_pool2d(seen, regions), f.adaptive_max_pool2d(seen, regions)]
        else:
            parts = [f.adaptive_avg_pool3d(seen, regions), f.adaptive_max_pool3d(seen, regions)]
        return cast(torch.Tensor, self.scale_out(torch.cat(parts, dim=1).flatten(1)))
