"""All benchmarks of the service, one after the other, each in a process of its own: `python -m benchmarks`."""

import subprocess
import sys

for name in ("search", "store", "ingest"):
    print(f"== {name}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)  # noqa: S603 - our own modules
    print(flush=True)
