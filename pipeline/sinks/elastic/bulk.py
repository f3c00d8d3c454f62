"""The `_bulk` protocol: one request, and an answer per document that alone says what became of it.

https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk. A data stream takes `create` only. 409 on
our own `_id` says that the document is there already: from a delivery whose answer was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from pipeline.core.errors import DeliveryError, PartialDeliveryError
from pipeline.core.model import Message
from pipeline.core.text import visible
from pipeline.sinks._http import Poster

_RECEIVER: Final = "Elasticsearch"
_CONFLICT: Final = "version_conflict_engine_exception"
_SET_UP: Final = frozenset({401, 403, 404})
_NO_ANSWER: Final = "no answer"
_BUSY: Final = ("429", _NO_ANSWER)


class Bulk:
    """`repeated` counts documents that were there already."""

    def __init__(
        self,
        url: str,
        data_stream: str,
        headers: Mapping[str, str],
        wire: Callable[[Message], bytes],
        *,
        seconds: float,
        ca_file: str = "",
    ) -> None:
        self._poster = Poster(url, _RECEIVER, headers, ca_file=ca_file, seconds=seconds)
        fields = "items.*._id,items.*.status,items.*.error.type"
        self._path = f"/{data_stream}/_bulk?filter_path={fields}"
        self._wire = wire
        self.sent = self.refused = self.repeated = 0

    def send(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Create every document. Raises PartialDeliveryError when some must come again, DeliveryError when all must."""
        if not messages:
            return {}
        body = b"".join(map(self._wire, messages))
        reply = self._poster.post(self._path, body, {"Content-Type": "application/x-ndjson"}, compress=True)
        if reply.status != 200:
            raise reply.failure(_RECEIVER)
        delivered, refused, again = self._sort(messages, _items(reply.body))
        self.sent += len(delivered)
        self.refused += len(refused)
        if again:
            text = (
                f"{_RECEIVER} did not take {len(again)} of {len(messages)} documents: {', '.join(sorted(set(again)))}"
            )
            answered = not any(why.startswith(_BUSY) for why in again)
            raise PartialDeliveryError(
                text, delivered=delivered, refused=refused, retry_after=reply.retry_after, answered=answered
            )
        return refused

    def close(self) -> None:
        """Drop the connection."""
        self._poster.close()

    def _sort(
        self, messages: Sequence[Message], items: Mapping[str, tuple[int, str]]
    ) -> tuple[list[str], dict[str, str], list[str]]:
        """Event ids delivered, event ids refused with the reason, and why each of the others must come again."""
        delivered: list[str] = []
        refused: dict[str, str] = {}
        again: list[str] = []
        for message in messages:
            status, kind = items.get(message.event_id, (0, ""))
            if status in (200, 201):
                delivered.append(message.event_id)
            elif status == 409 and kind == _CONFLICT:
                self.repeated += 1
                delivered.append(message.event_id)
            elif 400 <= status < 500 and status not in _SET_UP and status not in (409, 429):
                refused[message.event_id] = f"{_RECEIVER} answered {status}: {kind}"
            else:
                again.append(f"{status} {kind}".strip() if status else _NO_ANSWER)
        return delivered, refused, again


def _items(body: bytes) -> dict[str, tuple[int, str]]:
    """Status and error type by `_id`. Raises DeliveryError when this is no answer to a bulk request."""
    try:
        items = msgspec.json.decode(body)["items"]
        return {action["_id"]: _outcome(action) for item in items for action in item.values()}
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        text = f"{_RECEIVER} gave no answer to a bulk request (check its url)"
        raise DeliveryError(text, answered=True) from None


def _outcome(action: Mapping[str, Any]) -> tuple[int, str]:
    return int(action["status"]), visible(action.get("error", {}).get("type", ""), 80)
