"""What a source noticed about its files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """Something about a file that a person should know; `cause` is also the fault of the next batch, if one comes."""

    stream: str
    file: str
    cause: str  # truncated, gap, recreated, altered, unreadable
    message: str
