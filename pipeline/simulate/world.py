"""Laying a scenario out: estate, confusers, tokens, writes, then the attacks on top."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.simulate import attacks, confusers
from pipeline.simulate.calendar import appointments, children
from pipeline.simulate.founding import found
from pipeline.simulate.rows import Rows, by_time
from pipeline.simulate.scenario import DAY, Scenario
from pipeline.simulate.sessions import lay_out
from pipeline.simulate.setting import Setting
from pipeline.simulate.stage import Cut, Incident, Stage, label, moment_text
from pipeline.simulate.streams import stream
from pipeline.simulate.traffic import World
from pipeline.simulate.versions import plan_writes

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True)
class Plot:
    """A scenario laid out: the world of the ordinary stream, the rows of the attacks, the labels of both."""

    world: World
    rows: Rows  # finished, by time
    incidents: tuple[Incident, ...]
    happenings: tuple[Incident, ...]
    cuts: tuple[Cut, ...]
    parties: tuple[frozenset[str], ...] = ()  # everybody who takes part in each of the happenings
    quiet_cuts: tuple[Cut, ...] = ()  # those that the twin without attacks has, too


def known(package: ModuleType) -> tuple[str, ...]:
    """Names of what a folder holds."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__)))


def lay(scenario: Scenario) -> Plot:
    """Everything but the requests. Raises ConfigError for an attack or confuser that does not exist."""
    _check("attack", known(attacks), [a.name for a in scenario.attacks])
    chosen = known(confusers) if scenario.confusers is None else scenario.confusers
    _check("confuser", known(confusers), list(chosen))
    world, happenings, parties, cuts = _ordinary(scenario, chosen)
    quiet_cuts = tuple(cuts)
    made, incidents = [], []
    for number, attack in enumerate(scenario.attacks):
        nth = sum(a == attack for a in scenario.attacks[:number])
        rng = stream(scenario.seed, "attack", attack.name, attack.difficulty, nth)
        low = scenario.start_ns + int(scenario.history * scenario.days * DAY)
        at = None if attack.day is None else scenario.start_ns + int(attack.day * DAY)
        stage = Stage(world, rng, number, attack.name, attack.difficulty, low, scenario.end_ns, at)
        principal, secrets = importlib.import_module(f"{attacks.__name__}.{attack.name}").plan(stage)
        rows = stage.finished()
        made.append(rows[rows["t"] < scenario.end_ns])
        incidents.append(label(stage, made[-1], principal, np.asarray(secrets)))
        cuts += stage.cuts
    return Plot(world, by_time(made), tuple(incidents), tuple(happenings), tuple(cuts), tuple(parties), quiet_cuts)


def _check(what: str, there: tuple[str, ...], asked: list[str]) -> None:
    for name in asked:
        if name not in there:
            raise ConfigError(f"unknown {what} {name!r}; there are: {', '.join(there)}")


def _ordinary(
    scenario: Scenario, chosen: tuple[str, ...]
) -> tuple[World, list[Incident], list[frozenset[str]], list[Cut]]:
    estate = found(scenario)
    modules = {name: importlib.import_module(f"{confusers.__name__}.{name}") for name in sorted(set(chosen))}
    setting = Setting(scenario, estate, stream(scenario.seed, "none"))
    for name, module in modules.items():
        if hasattr(module, "prepare"):
            setting.rng = stream(scenario.seed, "confuser", name)
            module.prepare(setting)
    sessions = lay_out(estate, scenario, setting.shifts)
    sessions.add(appointments(estate, scenario, setting.shifts))
    fresh, policies = children(estate, scenario, sessions.table)
    sessions.policies.update(zip(sessions.add(fresh).tolist(), policies, strict=True))
    sessions.settle()
    versions = plan_writes(estate, scenario, sessions.table, setting.storms)
    world = World(scenario, estate, sessions, versions, setting.boosts, setting.troubles, setting.clocks)
    labels, cuts, extra = _labels(setting), [], []
    parties = [frozenset(estate.names[p] for p in happening.principals) for happening in setting.happenings]
    for name, module in modules.items():
        if hasattr(module, "plan"):
            rng = stream(scenario.seed, "confuser plan", name)
            stage = Stage(world, rng, -1, name, "benign", scenario.start_ns, scenario.end_ns)
            principal, secrets = module.plan(stage)
            rows = stage.finished()
            extra.append(rows[(rows["t"] < scenario.end_ns) & (rows["t"] >= scenario.start_ns)])
            labels.append(label(stage, extra[-1], principal, np.asarray(secrets)))
            parties.append(frozenset(estate.names[p] for p in np.unique(extra[-1]["principal"]).tolist()))
            cuts += stage.cuts
    world.extra = by_time(extra)
    return world, labels, parties, cuts


def _labels(setting: Setting) -> list[Incident]:
    return [
        Incident(
            id=f"{h.name}-{i}", attack=h.name, difficulty="benign",
            principal=setting.estate.names[h.principals[0]] if h.principals else "",
            secrets=(), begin=moment_text(h.start), end=moment_text(h.end),
        )
        for i, h in enumerate(setting.happenings)
    ]  # fmt: skip
