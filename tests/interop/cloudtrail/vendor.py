"""Runs awscli's own `cloudtrail validate-logs` on mirrored buckets, its AWS clients replaced by folders.

For a Python that has awscli. stdin: one JSON object a line: root, bucket, keys, trail, account, region, start, end.
stdout: one JSON object a line: exit code and what it printed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import io
import json
import sys
from pathlib import Path
from typing import Any

from awscli.customizations.cloudtrail import validation
from botocore.exceptions import ClientError


class Folder:
    """An S3 client that knows one bucket, as far as the validator asks it."""

    def __init__(self, root: Path, there: bool) -> None:
        self.root, self.there = root, there

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        path = self.root / Key
        if not (self.there and path.is_file()):
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "not there"}}, "GetObject")
        sidecar = Path(f"{path}.metadata.json")
        try:
            metadata = json.loads(sidecar.read_bytes()) if sidecar.is_file() else {}
        except ValueError:
            metadata = {}
        return {"Body": io.BytesIO(path.read_bytes()), "Metadata": metadata}

    def get_paginator(self, _name: str) -> Folder:
        return self

    def paginate(self, Bucket: str, Marker: str, Prefix: str) -> Folder:  # noqa: N803
        keys = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())
        self.listed = sorted(key for key in keys if self.there and key.startswith(Prefix) and key > Marker)
        return self

    def search(self, _expression: str) -> list[str]:
        return self.listed


class Clients:
    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told

    def get_client(self, bucket: str) -> Folder:
        return Folder(Path(self.told["root"]), bucket == self.told["bucket"])

    def list_public_keys(self, StartTime: dt.datetime, EndTime: dt.datetime) -> dict[str, Any]:  # noqa: N803
        keys = self.told["keys"].get(self.told["region"], self.told["keys"])["PublicKeyList"]
        return {"PublicKeyList": [key for key in keys if valid(key, StartTime, EndTime)]}


def valid(key: dict[str, Any], start: dt.datetime, end: dt.datetime) -> bool:
    first, last = (moment(key.get(f"Validity{name}Time")) for name in ("Start", "End"))
    return (first is None or first <= end) and (last is None or last >= start)


def moment(value: str | float | None) -> dt.datetime | None:
    if value is None or isinstance(value, str):
        return None if value is None else dt.datetime.fromisoformat(value)
    return dt.datetime.fromtimestamp(value, dt.UTC)


class Command(validation.CloudTrailValidateLogs):
    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(None)
        self.told = told

    def setup_services(self, parsed_globals: Any) -> None:
        self._source_region = self.told["region"]
        self.s3_client_provider = self.cloudtrail_client = Clients(self.told)
        self.organization_client = None


def run(told: dict[str, Any]) -> dict[str, Any]:
    arguments = argparse.Namespace(
        trail_arn=f"arn:aws:cloudtrail:eu-west-1:{told['account']}:trail/{told['trail']}",
        start_time=told["start"],
        end_time=told["end"],
        s3_bucket=told["bucket"],
        s3_prefix=None,
        account_id=told["account"],
        verbose=True,
    )
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        try:
            code: int | None = Command(told)._run_main(arguments, None)
        except Exception as error:  # noqa: BLE001  whatever it dies of is its answer
            code = None
            out.write(f"{type(error).__name__}: {error}")
    return {"code": code, "said": out.getvalue()}


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
