"""A hand-made log of Vault for questions about one name: who asked what, from where, with which token."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lakes import run
from tests.scenarios.vault_lines import entry, line


def hashed(name: str) -> str:
    """What a device would log of a token or an accessor."""
    return "hmac-sha256:" + hashlib.sha256(name.encode()).hexdigest()


@dataclass
class Log:
    """Requests with their responses, in the order they were added."""

    lines: list[bytes] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def ask(
        self, minute: float, who: str, path: str, operation: str = "read", *, version: int | None = None,
        token: str = "", address: str = "10.1.2.3", denied: bool = False, mount: str = "kv/", kind: str = "kv",
        space: str = "", made: dict[str, Any] | None = None, data: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """One request and its answer. `made` is the identity that a log-in or a token's creation gives."""
        number = next(self._numbers)
        token = token or who
        for phase, later in (("request", 0.0), ("response", 0.002)):
            told = entry(number, phase, minute * 60 + later, who=who, path=path, operation=operation, mount_point=mount,
                         mount_type=kind, remote_address=address)  # fmt: skip
            told["auth"] |= {"accessor": hashed(token), "client_token": hashed(token + "-token"), "token_ttl": 3600}
            if space:
                told["request"]["namespace"] = {"id": space, "path": space + "/"}
            if data is not None:
                told["request"]["data"] = data
            if made is not None and phase == "response":
                told["response"] = {"auth": made | {"token_ttl": 3600}}
                if operation == "update" and path.endswith("/login"):
                    del told["auth"]
            elif made is not None and path.endswith("/login"):
                del told["auth"]
            self._answer(told, phase, version, operation, denied=denied)
            self.lines.append(line(told))

    @staticmethod
    def _answer(told: dict[str, Any], phase: str, version: int | None, operation: str, *, denied: bool) -> None:
        if denied:
            told["error"] = "1 error occurred:\n\t* permission denied\n\n"
            told["auth"]["policy_results"] = {"allowed": False}
            told.pop("response", None)
        elif phase == "response" and version is not None:
            metadata = {"version": version}
            told["response"]["data"] = (
                {"data": {"v": hashed("v")}, "metadata": metadata} if operation == "read" else metadata
            )

    def lake(self, folder: Path) -> Path:
        """The lake that a run makes of it."""
        log = folder / "audit.log"
        log.write_bytes(b"".join(one + b"\n" for one in self.lines))
        run(folder / "lake", log)
        return folder / "lake"
