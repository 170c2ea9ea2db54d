"""The viewer: Cornerstone3D as a component of the page, shipped built."""

from apps.viewer.component import Layer, Panel, Picture, ViewerTexts, viewer

__all__ = ["Layer", "Panel", "Picture", "ViewerTexts", "viewer"]
