"""The viewer: Cornerstone3D as a component of the page, shipped built."""

from apps.viewer.component import Layer, Panel, Picture, ViewerTexts, viewer
from apps.viewer.region_marker import Ends, region_marker

__all__ = ["Ends", "Layer", "Panel", "Picture", "ViewerTexts", "region_marker", "viewer"]
