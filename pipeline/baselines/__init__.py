"""What was usual: profiles per secret, principal and edge. Scored before learned, mergeable, bounded."""

from __future__ import annotations

from pipeline.baselines.config import Config
from pipeline.baselines.profiles import SCOPES, Baselines

__all__ = ["SCOPES", "Baselines", "Config"]
