"""The table of rules, one file per group. A new rule is a row in one of them, a section in the README and a case."""

from __future__ import annotations

from typing import Final

from detectors.invariant.rules import access, audit, cloud, identity, root, secrets, storage, tokens

RULES: Final = (
    *root.RULES,
    *audit.RULES,
    *access.RULES,
    *storage.RULES,
    *tokens.RULES,
    *identity.RULES,
    *secrets.RULES,
    *cloud.RULES,
)
