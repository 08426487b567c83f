"""Joint multi-length hashing: features, labels, the learned hasher, its peers, code indexes and retrieval metrics."""
