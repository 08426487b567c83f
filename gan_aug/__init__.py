"""GAN translators for augmentation and query expansion."""
