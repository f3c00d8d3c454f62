"""A labelled stream to measure against: an estate at work, attacks of the catalogue, harmless look-alikes.

The workload's numbers follow published ones: Sysdig's container lives, Alibaba's and Uber's estate sizes, serverless
call rates. Nothing here reads a clock or a file: a scenario is a pure value.
"""

from pipeline.simulate.run import Summary, emit_vault, simulate, twins, workload
from pipeline.simulate.scenario import DIFFICULTIES, PRESETS, Attack, Scenario
from pipeline.simulate.stage import Incident
from pipeline.simulate.world import Plot, known, lay

__all__ = [
    "DIFFICULTIES",
    "PRESETS",
    "Attack",
    "Incident",
    "Plot",
    "Scenario",
    "Summary",
    "emit_vault",
    "known",
    "lay",
    "simulate",
    "twins",
    "workload",
]
