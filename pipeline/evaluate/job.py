"""All seeds of a plan, on as many processes as wanted, and what is written of them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipeline.evaluate import conditions
from pipeline.evaluate.beside import ROWS, before, joined, rows
from pipeline.evaluate.kept import Kept
from pipeline.evaluate.measure import measure
from pipeline.evaluate.page import page
from pipeline.evaluate.plot import svg
from pipeline.evaluate.summary import summarize

if TYPE_CHECKING:
    from pipeline.evaluate.plan import Plan

REPORT: Final = ("detection.md", "detection.json", "detection.svg")
FILES: Final = (*REPORT, ROWS)
COMPARED: Final = ("conditions.md", "conditions.json")


def evaluate(
    plan: Plan,
    tree: dict[str, Any],
    jobs: int,
    progress: Callable[[int], None] | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """The figures. The same plan and configuration give the same, however many jobs. Raises KeytrailError, OSError.

    With `out`, each seed is kept there as it is done, and the report of those done so far is written anew: what an
    earlier run with the same plan, configuration and code has kept is not measured again. A plan without the suite
    takes it from what an earlier run left in `out`, whatever its code.
    """
    kept, result = Kept(plan, tree, out), {}
    suite = {} if plan.suite else before(plan, out)
    whole: dict[int, dict[str, Any]] = {}
    for measured in _measured(plan, tree, jobs, kept):
        whole = measured if plan.suite else {nth: joined(suite[nth], one) for nth, one in measured.items()}
        result = _summary(msgspec.structs.replace(plan, suite=True), whole)
        _write(out, REPORT, page(result), _json(result), svg(result))
        if progress is not None:
            progress(len(measured))
    _write(out, (ROWS,), rows(plan, whole))
    kept.clear()
    return result


def compare(
    plans: Mapping[str, Plan],
    tree: dict[str, Any],
    jobs: int,
    progress: Callable[[int], None] | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """The figures under each condition, the first of which is the usual one; see `conditions.plans`.

    They are kept and written as those of `evaluate` are, condition by condition. `progress` hears of seeds, of all
    conditions together.
    """
    done, result = 0, {}
    told: dict[str, Mapping[str, Any]] = {}
    for name, each in plans.items():
        kept, measured = Kept(each, tree, out), {}
        for measured in _measured(each, tree, jobs, kept):
            if progress is not None:
                progress(done + len(measured))
        done += len(measured)
        told[name] = _summary(each, measured)
        result = conditions.summary(told, list(plans))
        _write(out, COMPARED, conditions.page(result), _json(result))
    kept.clear()  # what was kept under all conditions is in one file
    return result


def _measured(plan: Plan, tree: dict[str, Any], jobs: int, kept: Kept) -> Iterator[dict[int, dict[str, Any]]]:
    """What is measured so far, by place in the plan: once at first if anything is kept, then with each further seed."""
    measured = kept.done()
    if measured:
        yield measured
    for nth, one in _each(plan, tree, [nth for nth in range(len(plan.seeds)) if nth not in measured], jobs):
        measured[nth] = one
        kept.add(nth, one)
        yield measured


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


def _json(result: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(result), indent=1).decode() + "\n"


def _write(out: Path | None, names: Sequence[str], *contents: str) -> None:
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, content in zip(names, contents, strict=True):
        (out / name).write_text(content, "utf-8")
