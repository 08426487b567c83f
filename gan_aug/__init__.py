"""GAN translators for augmentation and query expansion."""

from gan_aug.catalogue import SystemCard, systems

__all__ = ["SystemCard", "systems"]
