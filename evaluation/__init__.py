"""Assess retrieval: measures with intervals, null controls, and the fairness suite."""
