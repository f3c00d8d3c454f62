"""`make bench`: every benchmark, one after the other; give names to run some (line, decode, store …)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FIRST = ("line",)
WITH = {"line": ("--stages",), "kafka": ("--workers",)}


def main() -> None:
    """See the module."""
    there = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    chosen = sys.argv[1:] or [*FIRST, *(name for name in there if name not in FIRST)]
    unknown = [name for name in chosen if name not in there]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]!r}; there are: {', '.join(there)}")
    for name in chosen:
        print(f"\n=== {name}", flush=True)
        subprocess.run(
            [sys.executable, "-m", f"tests.bench.bench_{name}", *WITH.get(name, ())], cwd=HERE.parents[1], check=True
        )


if __name__ == "__main__":
    main()
