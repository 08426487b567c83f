"""Search benchmarks: ours beside bare FAISS, over gRPC, and beside other vector stores; `python -m benchmarks.search`."""
