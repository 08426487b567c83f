"""Outlines: closed polygons of simple figures, in whatever frame the caller thinks in.

In: numbers, and a random generator for irregular ones. Out: float32 points (n, 2).
What they stand for is decided by who adds them to a sketch.
"""

import numpy as np
from jaxtyping import Float

from service.scenes.scene import Points

Profile = Float[np.ndarray, " _"]


def polygon(*corners: tuple[float, float]) -> Points:
    """Return the polygon through the corners."""
    return np.array(corners, dtype=np.float32)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Points:
    """Return the axis-parallel rectangle between two corners."""
    return polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def ellipse(
    x: float, y: float, rx: float, ry: float, *, start: float = 0.0, stop: float = 2 * np.pi, count: int = 24
) -> Points:
    """Return an ellipse, or the part of it between two angles (radians, from +x towards +y), closed by a chord."""
    angles = np.linspace(start, stop, count, endpoint=stop - start < 2 * np.pi - 1e-9)
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1).astype(np.float32)


def blob(
    rng: np.random.Generator, x: float, y: float, rx: float, ry: float, *, roughness: float = 0.12
) -> Points:
    """Return an ellipse whose radius wavers: a crown, a bush, a stone, a cloud of leaves."""
    angles = np.linspace(0.0, 2 * np.pi, 30, endpoint=False)
    orders = np.arange(2, 9)[:, None]
    waves = np.sin(orders * angles + rng.uniform(0.0, 2 * np.pi, (7, 1))) / np.sqrt(orders)
    radius = 1.0 + roughness * (rng.normal(0.0, 0.6, (7, 1)) * waves).sum(axis=0)
    return np.stack([x + rx * radius * np.cos(angles), y + ry * radius * np.sin(angles)], axis=1).astype(
        np.float32
    )


def profile(rng: np.random.Generator, *, count: int = 72, knots: int = 3, roughness: float = 0.5) -> Profile:
    """Return a random curve over [0, 1] scaled to [0, 1]: octaves of broken lines, each `roughness` times as high."""
    at = np.linspace(0.0, 1.0, count)
    curve = np.zeros(count)
    height = 1.0
    for _ in range(4):
        curve += height * np.interp(at, np.linspace(0.0, 1.0, knots + 1), rng.uniform(0.0, 1.0, knots + 1))
        knots, height = 2 * knots, height * roughness
    return _stretched(curve)


def smooth_profile(rng: np.random.Generator, *, count: int = 72, waves: int = 3) -> Profile:
    """Return a random curve over [0, 1] scaled to [0, 1] made of a few sines: hills, dunes, snowdrifts."""
    at = np.linspace(0.0, 1.0, count)
    orders = np.arange(1, waves + 1)[:, None]
    phases = rng.uniform(0.0, 2 * np.pi, (waves, 1))
    curve = (rng.uniform(0.4, 1.0, (waves, 1)) * np.sin(np.pi * orders * at + phases) / orders).sum(axis=0)
    return _stretched(curve)


def _stretched(curve: Profile) -> Profile:
    stretched: Profile = (curve - curve.min()) / max(float(np.ptp(curve)), 1e-6)
    return stretched


def under(
    curve: Profile, *, crest: float, height: float, foot: float, x0: float = -0.02, x1: float = 1.02
) -> Points:
    """Return the area below a profile (y down): its highest point at `crest`, closed along y = `foot`."""
    x = np.linspace(x0, x1, len(curve))
    top = np.stack([x, crest + height * (1.0 - curve)], axis=1)
    return np.concatenate([top, [[x1, foot], [x0, foot]]]).astype(np.float32)


def stroke(points: Points, widths: tuple[float, float]) -> Points:
    """Return a thick line along the points, its width going from the first to the second."""
    along = np.gradient(points, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    half = 0.5 * np.linspace(*widths, len(points))[:, None]
    across = half * along[:, ::-1] * [[-1.0, 1.0]]
    return np.concatenate([points + across, (points - across)[::-1]]).astype(np.float32)


def line(x0: float, y0: float, x1: float, y1: float, width: float) -> Points:
    """Return a straight thick line."""
    return stroke(polygon((x0, y0), (x1, y1)), (width, width))


def arc(
    start: tuple[float, float], bend: tuple[float, float], stop: tuple[float, float], *, count: int = 12
) -> Points:
    """Return the points (not an area) of a quadratic Bezier curve."""
    t = np.linspace(0.0, 1.0, count)[:, None]
    curve = (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(bend) + t**2 * np.array(stop)
    points: Points = curve.astype(np.float32)
    return points


def patch(quad: Points, u0: float, v0: float, u1: float, v1: float) -> Points:
    """Return the part of a quadrilateral (top left, top right, bottom right, bottom left) between shares u and v."""
    u = np.array([u0, u1, u1, u0], dtype=np.float32)[:, None]
    v = np.array([v0, v0, v1, v1], dtype=np.float32)[:, None]
    top, bottom = (1 - u) * quad[0] + u * quad[1], (1 - u) * quad[3] + u * quad[2]
    result: Points = (1 - v) * top + v * bottom
    return result


def tongue(x: float, y: float, half: float, height: float) -> Points:
    """Return a tongue of fire standing on (x, y)."""
    left = arc((x, y), (x - 1.9 * half, y + 0.35 * height), (x + 0.15 * half, y + height))
    right = arc((x + 0.15 * half, y + height), (x + 1.9 * half, y + 0.3 * height), (x, y))
    return np.concatenate([left, right[1:-1]])
