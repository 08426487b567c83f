"""From bytes to pixels to embeddings: decoding, image sets, backbones."""
