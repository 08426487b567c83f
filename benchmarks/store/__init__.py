"""Store benchmarks: bytes, start, rebuild and swap of a store of a million images; `python -m benchmarks.store`."""
