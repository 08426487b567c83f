"""Emotion scores mined from affective regions."""
