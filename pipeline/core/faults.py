"""Numbered places where a test may kill the process: `KEYTRAIL_FAULT=name[:count]` dies at the count-th pass.

Death is SIGKILL, so no handler and no buffer gets a say: what the crash suite sees is what a power cut would leave.
"""

from __future__ import annotations

import os
import signal

_name, _, _count = os.environ.get("KEYTRAIL_FAULT", "").partition(":")
_left = int(_count or 1)


def point(name: str) -> None:
    """Die here when this place is the one asked for."""
    global _left  # noqa: PLW0603  the process's one armed fault
    if name == _name:
        _left -= 1
        if _left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
