"""What makes a JSON object a line of an agent's or a proxy's log (hclog, `log_format = "json"`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.decoders._fields import Field
from pipeline.decoders._format import Signs

if TYPE_CHECKING:
    from pipeline.decoders._object import Body

FIELDS: Final[dict[str, Field]] = {
    "level": Field(("@level",), "text"),
    "message": Field(("@message",), "text"),
    "module": Field(("@module",), "text"),
    "stamped": Field(("@timestamp",), "text"),
    "path": Field(("path",), "text"),
    "error": Field(("error",), "text"),
}
MARKS: Final = ("@module",)
SIGNS: Final = Signs(("@level", "@caller"), ("@level", "@caller"), r'"@(?:module|message)":')
HINT: Final = r'"@module"'
# The cache once had a logger of its own; servers and other products have other parts.
_PARTS: Final = r"(?:apiproxy|auth|cache|exec|sink|template)(?:\..*)?"
_MODULE: Final = rf"^(?:(?:agent|proxy)(?:\.{_PARTS})?|cache(?:\..*)?)$"
PLAIN: Final = pl.col("message").is_not_null() & pl.col("module").str.contains(_MODULE)


def found(body: Body) -> Body | None:
    """The line that an object is, or None."""
    module = body.get("@module")
    ours = isinstance(module, str) and re.search(_MODULE, module) is not None
    return body if ours and body.get("@message") is not None else None


def clean(body: Body) -> tuple[Body, bool]:
    """The object itself: such a log has names and paths, and tokens are taken out of everything."""
    return body, False
