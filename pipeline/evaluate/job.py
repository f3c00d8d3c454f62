"""All seeds of a plan, on as many processes as wanted, and what is written of them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipeline.evaluate.kept import Kept
from pipeline.evaluate.measure import measure
from pipeline.evaluate.page import page
from pipeline.evaluate.plot import svg
from pipeline.evaluate.summary import summarize

if TYPE_CHECKING:
    from pipeline.evaluate.plan import Plan

FILES: Final = ("detection.md", "detection.json", "detection.svg")


def evaluate(
    plan: Plan,
    tree: dict[str, Any],
    jobs: int,
    progress: Callable[[int], None] | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """The figures. The same plan and configuration give the same, however many jobs. Raises KeytrailError, OSError.

    With `out`, each seed is kept there as it is done, and the report of those done so far is written anew: what an
    earlier run with the same plan, configuration and code has kept is not measured again.
    """
    kept = Kept(plan, tree, out)
    measured = kept.done()
    waiting = [nth for nth in range(len(plan.seeds)) if nth not in measured]
    if progress is not None and measured:
        progress(len(measured))
    for nth, one in _each(plan, tree, waiting, jobs):
        measured[nth] = one
        kept.add(nth, one)
        if out is not None:
            _write(_summary(plan, measured), out)
        if progress is not None:
            progress(len(measured))
    result = _summary(plan, measured)
    if out is not None:
        _write(result, out)
    kept.clear()
    return result


def _each(plan: Plan, tree: dict[str, Any], waiting: Sequence[int], jobs: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Seeds by their place in the plan, as they are done."""
    if min(jobs, len(waiting)) <= 1:
        yield from ((nth, measure(plan, nth, tree)) for nth in waiting)
        return
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # for the children: frames are small, processes are many
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(measure, plan, nth, tree): nth for nth in waiting}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _summary(plan: Plan, measured: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Of the seeds that are done, in the plan's order."""
    done = sorted(measured)
    part = msgspec.structs.replace(plan, seeds=tuple(plan.seeds[nth] for nth in done))
    return {**summarize(part, [measured[nth] for nth in done]), "asked": len(plan.seeds)}


def _write(result: dict[str, Any], out: Path) -> None:
    """The three of FILES."""
    out.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(result), indent=1).decode() + "\n"
    for name, content in zip(FILES, (page(result), text, svg(result)), strict=True):
        (out / name).write_text(content, "utf-8")
