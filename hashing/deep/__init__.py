"""Hash heads trained by gradient; the only part of the package that imports torch."""
