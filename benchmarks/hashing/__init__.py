"""Every table of docs/hashing.md in one command, `python -m benchmarks.hashing`, and its costs, `... cost`."""
