"""From which addresses something comes that somebody does again and again: a schedule is kept at a place, too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_KEPT: Final = 4
_FEW: Final = 2  # whoever comes from more places than these has none


@dataclass(slots=True)
class Places:
    """The last four addresses, each with its first and its last day, the oldest first."""

    days: dict[str, tuple[int, int]] = field(default_factory=dict)

    def strange(self, address: str, today: int) -> bool:
        """Whether it came from one or two other places before today, and never from this one."""
        known = [place for place, (first, _) in self.days.items() if first < today]
        return bool(address) and 0 < len(known) <= _FEW and address not in known

    def note(self, address: str, today: int) -> None:
        """It came from there."""
        if not address:
            return
        first, _ = self.days.pop(address, (today, today))
        self.days[address] = (first, today)
        if len(self.days) > _KEPT:
            del self.days[next(iter(self.days))]

    def forget(self, until: int) -> bool:
        """Drop what was last seen on that day or before; whether anything is left."""
        self.days = {place: days for place, days in self.days.items() if days[1] > until}
        return bool(self.days)
