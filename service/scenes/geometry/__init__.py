"""Geometry of scenes: outlines, things made of them, and one composition per category."""
