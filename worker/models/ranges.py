"""Activation ranges, which an 8-bit embedder needs beyond its weights. Measured once."""

from typing import Final

Range = tuple[float, float]
"""Least and largest output of a convolution, in units of its channel's reach (preparation/chain.py)."""

SFACE_RANGES: Final[tuple[Range, ...]] = (
    (-0.891, 1.481),
    (-0.993, 1.279),
    (-0.991, 1.526),
    (-0.931, 1.026),
    (-0.93, 1.454),
    (-0.805, 1.155),
    (-1.135, 1.086),
    (-0.867, 1.432),
    (-0.742, 1.764),
    (-0.708, 1.07),
    (-1.178, 1.485),
    (-0.6, 1.265),
    (-0.708, 1.65),
    (-0.764, 1.168),
    (-0.832, 1.779),
    (-0.739, 1.162),
    (-0.942, 2.02),
    (-0.799, 1.298),
    (-0.879, 1.667),
    (-0.718, 1.322),
    (-0.798, 1.828),
    (-0.825, 1.306),
    (-0.995, 1.946),
    (-0.581, 1.121),
    (-0.703, 1.475),
    (-0.754, 0.801),
)
"""SFace 2021dec, from its second convolution on. Measured on the faces of 100 people of Labeled Faces in the Wild by
`bench/int8_ranges.py`: the ranges in which 255 steps cost the PReLU after it the least mean square error."""
