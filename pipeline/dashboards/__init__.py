"""Grafana dashboards and Prometheus rules over the exported metrics. See README.md.

The JSON files are made from the modules beside them; a test holds them together and writes them anew on request.
"""

from __future__ import annotations

from pipeline.dashboards import debug, executive, oncall
from pipeline.dashboards.panels import Board, dashboard

BOARDS = (executive.BOARD, oncall.BOARD, debug.BOARD)

__all__ = ["BOARDS", "Board", "dashboard"]
