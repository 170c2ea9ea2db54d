"""Pixels of scans for the viewer: their bytes, and the guarded routes that hand them out."""

from apps.pixels.frames import frame_bytes, pixel_header
from apps.pixels.guard import Guard, Visitor
from apps.pixels.query_images import QUERY_IMAGES, QueryImages
from apps.pixels.routes import address_of_case, address_of_query, pixel_routes

__all__ = [
    "QUERY_IMAGES",
    "Guard",
    "QueryImages",
    "Visitor",
    "address_of_case",
    "address_of_query",
    "frame_bytes",
    "pixel_header",
    "pixel_routes",
]
