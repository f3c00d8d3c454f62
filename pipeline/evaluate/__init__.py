"""How good the detection is, measured: labelled twins, the real detectors and router, and naive methods beside them.

The protocol: every seed is run with and without its attacks from the same random stream; thresholds come from the past
alone; an alert is what the router delivers as ticket or page. See docs/detection.md for figures.
"""

from pipeline.evaluate.job import FILES, evaluate
from pipeline.evaluate.page import page
from pipeline.evaluate.plan import Plan
from pipeline.evaluate.plot import svg
from pipeline.evaluate.summary import METHODS

__all__ = ["FILES", "METHODS", "Plan", "evaluate", "page", "svg"]
