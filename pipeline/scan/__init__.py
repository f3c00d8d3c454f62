"""Leaked credentials in text of any kind: rules, and a scanner that goes over a stream of bytes. See README.md."""

from __future__ import annotations

import re

import msgspec

from pipeline.core.secrets import SecretRef
from pipeline.scan.keyed import Key
from pipeline.scan.rule import Rule
from pipeline.scan.rules import RULES
from pipeline.scan.scanner import Leak, Scanner

__all__ = ["RULES", "Config", "Key", "Leak", "Rule", "Scanner", "chosen"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[scan]`. `known` are keyed hashes of what is no leak, such as credentials of a test."""

    disabled: tuple[str, ...] = ()  # rules
    known: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()  # file names in folders, as shell patterns
    hash_key: SecretRef | None = None  # default: a file of the user's own, made when it is first needed

    def __post_init__(self) -> None:
        names = [rule.name for rule in RULES]
        for name in self.disabled:
            if name not in names:
                raise ValueError(f"there is no rule {name!r}; there are: {', '.join(names)}")
        if not all(re.fullmatch(r"[0-9a-f]{64}", value) for value in self.known):
            raise ValueError("known must be hashes as the column keyed_hash has them, never the values themselves")


def chosen(config: Config) -> tuple[Rule, ...]:
    """The rules that the config does not switch off."""
    return tuple(rule for rule in RULES if rule.name not in config.disabled)
