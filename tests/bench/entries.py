"""Audit entries for the benchmarks: reads of KV secrets, request and response, 1.5 KB on average."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_AUTH = (
    '"auth":{{"client_token":"hmac-sha256:{token}","accessor":"hmac-sha256:{accessor}","display_name":"approle",'
    '"policies":["default","{app}-read","{app}-transit"],"token_policies":["default","{app}-read","{app}-transit"],'
    '"policy_results":{{"allowed":true,"granting_policies":[{{"name":"{app}-read","namespace_id":"root","type":"acl"}}]}},'
    '"metadata":{{"role_name":"{app}"}},"entity_id":"{entity}","token_type":"service","token_ttl":3600,'
    '"token_issue_time":"2026-03-02T00:00:00Z"}}'
)
_REQUEST = (
    '"request":{{"id":"{id}","client_id":"{entity}","operation":"read","mount_point":"kv/","mount_type":"kv",'
    '"mount_accessor":"kv_3f1a55c2","mount_running_version":"v2.0.0+builtin.bao","mount_class":"secret",'
    '"client_token":"hmac-sha256:{token}","client_token_accessor":"hmac-sha256:{accessor}","namespace":{{"id":"root"}},'
    '"path":"kv/data/{app}/{secret}","remote_address":"{ip}","remote_port":{port},'
    '"headers":{{"user-agent":["keyclient/1.4"]}}}}'
)
_RESPONSE = (
    '"response":{{"mount_point":"kv/","mount_type":"kv","mount_accessor":"kv_3f1a55c2",'
    '"mount_running_plugin_version":"v2.0.0+builtin.bao","mount_class":"secret","data":{{"data":{{"password":'
    '"hmac-sha256:{value}","username":"hmac-sha256:{token}"}},"metadata":{{"created_time":"2026-03-01T08:00:00.123456789Z",'
    '"custom_metadata":null,"deletion_time":"hmac-sha256:{empty}","destroyed":false,"version":3}}}}}}'
)
_ENTRY = '{{"time":"{time}","type":"request",' + _AUTH + "," + _REQUEST + "}}\n"
_ANSWER = '{{"time":"{answered}","type":"response",' + _AUTH + "," + _REQUEST + "," + _RESPONSE + "}}\n"


def write_log(path: Path, entries: int, *, secrets: int = 4_000, apps: int = 200, per_second: int = 100) -> int:
    """Write `entries` entries, `per_second` requests a second of event time; the bytes written."""
    dice = random.Random(20260301)
    people = [
        {
            "app": f"app{n}", "token": f"{dice.getrandbits(256):064x}", "accessor": f"{dice.getrandbits(256):064x}",
            "entity": f"{dice.getrandbits(32):08x}-0000-4000-8000-{dice.getrandbits(48):012x}",
            "ip": f"10.{n % 200}.{n // 200}.7",
        }
        for n in range(apps)
    ]  # fmt: skip
    written, empty = 0, f"{dice.getrandbits(256):064x}"
    with path.open("w", encoding="ascii", buffering=1 << 20) as out:
        for number in range(entries // 2):
            micros = number * 1_000_000 // per_second
            second, micro = divmod(micros, 1_000_000)
            day, second = divmod(second, 86_400)
            stamp = f"2026-03-{day % 28 + 2:02d}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
            fields = {
                **people[dice.randrange(apps)],
                "id": f"{dice.getrandbits(32):08x}-1111-4222-8333-{number:012x}",
                "secret": f"s{dice.randrange(max(1, secrets // apps))}",
                "port": 30_000 + number % 30_000,
                "empty": empty,
                "value": f"{dice.getrandbits(256):064x}",
                "time": f"{stamp}.{micro:06d}Z",
                "answered": f"{stamp}.{min(micro + 900, 999_999):06d}Z",
            }
            written += out.write(_ENTRY.format(**fields)) + out.write(_ANSWER.format(**fields))
    return written
