"""One request at a time to a Vault or OpenBao, over hvac. The only place that knows hvac."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from pipeline.core.errors import ConfigError

REQUEST_SECONDS: Final = 10.0
_OUTCOMES: Final = {200: "success", 204: "success", 400: "failure", 403: "denied", 404: "not_found", 405: "failure"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request.

    `outcome`: success, denied, not_found, failure, or unreachable. `sent` is false when the store cannot have written
    of it: it was not reached, or it is sealed. `doubtful`: the request left and no answer came.
    """

    outcome: str
    seconds: float
    status: int = 0
    request: str = ""  # the store's id of it
    sent: bool = True
    doubtful: bool = False


class Store:
    """A Vault or OpenBao as a client meets it. Redirects are not followed: a token goes to one host only."""

    def __init__(self, address: str, token: str, *, namespace: str = "", ca: str = "") -> None:
        """Raises ConfigError when the library is not installed or the address is none."""
        try:
            import hvac  # noqa: PLC0415  an extra: only this command needs it
            import requests  # noqa: PLC0415
        except ModuleNotFoundError:
            raise ConfigError("probe needs hvac: install keytrail[probe]") from None
        if not address.startswith(("https://", "http://")):
            raise ConfigError(f"the store's address {address!r} is no URL: give https://HOST:PORT")
        self._failed = requests.exceptions
        self._client = hvac.Client(
            url=address, token=token, namespace=namespace or None, verify=ca or True, timeout=REQUEST_SECONDS,
            allow_redirects=False, adapter=hvac.adapters.RawAdapter,
        )  # fmt: skip

    def read(self, path: str, headers: dict[str, str]) -> Answer:
        """Read a path. Never raises for what the store or the network do."""
        start = time.monotonic()
        try:
            reply = self._client.adapter.get(f"/v1/{path.strip('/')}", headers=dict(headers), raise_exception=False)
        except self._failed.RequestException as error:
            return self._unanswered(error, time.monotonic() - start)
        seconds = time.monotonic() - start
        body = _object(reply)
        if reply.status_code in (429, 472, 473, 503) or (300 <= reply.status_code < 400):
            return Answer("unreachable", seconds, reply.status_code, sent=False)  # sealed, standby, or over its quota
        outcome = _OUTCOMES.get(reply.status_code, "failure")
        return Answer(outcome, seconds, reply.status_code, str(body.get("request_id") or ""))

    def _unanswered(self, error: Exception, seconds: float) -> Answer:
        refused = "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error)
        never = refused or isinstance(error, self._failed.ConnectTimeout | self._failed.SSLError)
        return Answer("unreachable", seconds, sent=not never, doubtful=not never)

    def close(self) -> None:
        """Give back the connection."""
        self._client.adapter.close()


def _object(reply: Any) -> dict[str, Any]:
    try:
        body = reply.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
