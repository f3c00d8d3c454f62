"""From findings to alerts a person wants to get, and from alerts to the sinks that must have them."""

from pipeline.routing.config import PER_DAY_MAX, Config, Suppression
from pipeline.routing.delivery import Deliverer, OutboxConfig, SinkCounts
from pipeline.routing.match import unusable
from pipeline.routing.result import RoutingResult
from pipeline.routing.router import Router

__all__ = [
    "PER_DAY_MAX",
    "Config",
    "Deliverer",
    "OutboxConfig",
    "Router",
    "RoutingResult",
    "SinkCounts",
    "Suppression",
    "unusable",
]
