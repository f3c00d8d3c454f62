"""What a person asks the lake about one name: `investigate`, `inventory` and `policy`.

Every answer is of one commit, also while a run writes. What a log says is untrusted: it is data here, and escaped where
it becomes a policy.
"""

from __future__ import annotations

from pipeline.inquiry.inventory import inventory
from pipeline.inquiry.investigate import Wanted, investigate
from pipeline.inquiry.parts import Part
from pipeline.inquiry.policy import Suggestion, policy, shown

__all__ = ("Part", "Suggestion", "Wanted", "inventory", "investigate", "policy", "shown")
