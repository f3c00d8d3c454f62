"""How good the detection is, measured: labelled twins, the real detectors and router, and naive methods beside them.

The protocol: every seed is run with and without its attacks from the same random stream; thresholds come from the past
alone; an alert is what the router delivers as ticket or page. See docs/detection.md for figures.
"""

from pipeline.evaluate.conditions import CONDITIONS, plans
from pipeline.evaluate.conditions import page as conditions_page
from pipeline.evaluate.job import COMPARED, FILES, compare, evaluate
from pipeline.evaluate.page import page
from pipeline.evaluate.plan import Plan
from pipeline.evaluate.plot import svg
from pipeline.evaluate.summary import METHODS

__all__ = (
    "COMPARED", "CONDITIONS", "FILES", "METHODS", "Plan", "compare", "conditions_page", "evaluate", "page", "plans",
    "svg",
)  # fmt: skip
