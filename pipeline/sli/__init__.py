"""Service level indicators M1 to M5, M9 and M10: windows of event time, objectives, error budgets."""

from __future__ import annotations

from pipeline.sli.config import Config, Objective
from pipeline.sli.slis import Slis

__all__ = ["Config", "Objective", "Slis"]
