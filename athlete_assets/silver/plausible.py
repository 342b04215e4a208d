"""Between what a figure of a source, or of the athlete, can be right."""

from __future__ import annotations

from math import inf

RESULTS = {
    "grade_adjusted_distance": (1.0, inf),
    "perceived_exertion": (1.0, 10.0),
    "weighted_power_w": (1.0, 3000),
    "own_load": (0.1, 2000.0),
}
"""What a source may say beyond its measurements, and between what it can be right; 0 is how services write none."""
