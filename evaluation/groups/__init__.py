"""Groups in the vectors, the words, the ranking and the labels: arrays in, frozen rows out."""

from __future__ import annotations
