"""The table of rules, one file per group. A new rule is a row in one of them, a section in the README and a case."""

from __future__ import annotations

from typing import Final

from detectors.invariant.rule import Group
from detectors.invariant.rules import access, audit, cloud, identity, root, secrets, storage, tokens

GROUPS: Final = tuple(
    Group(module.GATE, module.RULES) for module in (root, audit, access, storage, tokens, identity, secrets, cloud)
)
RULES: Final = tuple(rule for group in GROUPS for rule in group.rules)
