"""Random numbers for compiled code: one small independent stream per start of a search.

A start's numbers depend on its seed alone, never on threads or on how starts are batched.

Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014
(SplitMix64); Shoemake, "Uniform random rotations", Graphics Gems III (1992).
"""

import math

import numpy as np

from docking.search.compiled import compiled

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = (np.uint64(n) for n in (30, 27, 31, 11))
_UNIT = 2.0**-53


@compiled
def uniform(stream):
    """Next number of ``stream``, a uint64 array of one, uniform in [0, 1)."""
    stream[0] = stream[0] + _GAMMA
    z = stream[0]
    z = (z ^ (z >> _S30)) * _FIRST
    z = (z ^ (z >> _S27)) * _SECOND
    return np.float64((z ^ (z >> _S31)) >> _S11) * _UNIT


@compiled
def random_quaternion(stream, q):
    """Write a uniform random rotation into ``q``, scalar first."""
    a, b, c = uniform(stream), 2 * math.pi * uniform(stream), 2 * math.pi * uniform(stream)
    long, short = math.sqrt(a), math.sqrt(1.0 - a)
    q[0] = short * math.sin(b)
    q[1] = short * math.cos(b)
    q[2] = long * math.sin(c)
    q[3] = long * math.cos(c)


@compiled
def random_in_ball(stream, radius, v):
    """Write a point uniform in the ball of ``radius`` into ``v``."""
    while True:
        square = 0.0
        for k in range(3):
            v[k] = 2.0 * uniform(stream) - 1.0
            square += v[k] * v[k]
        if square < 1.0:
            break
    for k in range(3):
        v[k] *= radius
