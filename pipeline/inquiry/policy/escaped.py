"""Names from a log as text of a policy: nothing in them ends a string, a line or a comment, or stands for others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.core.text import ACTING, visible
from pipeline.inquiry.period import told

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.inquiry.policy.grants import Grant

_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LONGEST: Final = 1 << 30


def quoted(text: str) -> str:
    """A double-quoted string of HCL and of YAML. `${` and `%{` begin no template: their first sign is spelled out."""
    return '"' + "".join(_sign(text, at) for at in range(len(text))) + '"'


def _sign(text: str, at: int) -> str:
    sign = text[at]
    code = ord(sign)
    if sign in _SHORT:
        return _SHORT[sign]
    template = sign in "$%" and text[at + 1 : at + 2] == "{"
    if template or code in ACTING or 0xD800 <= code <= 0xDFFF:
        return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
    return sign


def comment(text: str, indent: str = "") -> str:
    """One line of comment."""
    return f"{indent}# {visible(text, _LONGEST)}"


def comments(texts: Iterable[str]) -> list[str]:
    """A line of comment each."""
    return [comment(text) for text in texts]


def history(grant: Grant) -> str:
    """Since when, how often, until when."""
    times = f"{grant.operations:,} {'times' if grant.operations > 1 else 'time'}"
    return f"{times} since {told(grant.first)}, last {told(grant.last)}"


_WHY: Final = {
    "denied": "Asked for and denied; not part of the policy:",
    "not_found": "Asked for and not there; whoever may ask gets 404 instead of 403:",
    "failure": "Asked for and failed in the store:",
}


def refused(grants: Iterable[Grant]) -> list[str]:
    """What was asked for in vain, as comments."""
    lines: list[str] = []
    told_of = ""
    for one in grants:
        if one.status != told_of:
            lines += ["", comment(_WHY[one.status])]
            told_of = one.status
        space = f" in namespace {quoted(one.namespace)}" if one.namespace else ""
        lines.append(comment(f"  {quoted(one.path)} [{', '.join(one.capabilities)}]{space}: {history(one)}"))
    return lines
