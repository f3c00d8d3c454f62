"""Service level indicators M1 to M5 and M8 to M10: windows of event time, objectives, error budgets."""

from __future__ import annotations

from pipeline.sli.config import Config, Objective
from pipeline.sli.slis import Slis

__all__ = ["Config", "Objective", "Slis"]
