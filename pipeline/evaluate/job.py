"""All seeds of a plan, on as many processes as wanted, and what is written of them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.evaluate.measure import measure
from pipeline.evaluate.page import page
from pipeline.evaluate.plot import svg
from pipeline.evaluate.summary import summarize

if TYPE_CHECKING:
    from pipeline.evaluate.plan import Plan


def evaluate(
    plan: Plan, tree: dict[str, Any], jobs: int, progress: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """The figures. The same plan and configuration give the same, however many jobs. Raises KeytrailError."""
    measured: list[dict[str, Any]] = []
    if min(jobs, len(plan.seeds)) <= 1:
        for nth in range(len(plan.seeds)):
            measured.append(measure(plan, nth, tree))
            if progress is not None:
                progress(len(measured))
        return summarize(plan, measured)
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # for the children: frames are small, processes are many
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(measure, plan, nth, tree) for nth in range(len(plan.seeds))]
        for done in waiting:
            measured.append(done.result())
            if progress is not None:
                progress(len(measured))
    return summarize(plan, measured)


def write(result: dict[str, Any], out: Path) -> list[Path]:
    """DIR/detection.json, detection.svg and detection.md. Raises OSError."""
    out.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(result), indent=1).decode() + "\n"
    files = {"detection.json": text, "detection.svg": svg(result), "detection.md": page(result)}
    for name, content in files.items():
        (out / name).write_text(content, "utf-8")
    return [out / name for name in files]
