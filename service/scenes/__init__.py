"""Rendered scenes with known category, instance, conditions and affective boxes."""
