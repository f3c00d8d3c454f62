"""The quick and the exact parser of Vault entries are one parser in two speeds."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decoders.vault import Config, create
from tests.decoding import SHARED, Speeds, batch_of

if TYPE_CHECKING:
    pass

LOGS = [
    f"openbao-live/{name}" for name in ("main.log", "main.log.1", "second.log", "third.log", "socket.log", "raw.log")
] + [
    "vault-didentity/audit.log", "vault-testdrivenio/audit.log", "vault-trenner/sample.ndjson",
    "vault-trenner/test.log", "vault-ops-agent/input.log",
]  # fmt: skip


BOTH = Speeds(lambda: create(Config()))


@pytest.mark.parametrize("log", LOGS)
def test_real_logs_read_alike(log: str) -> None:
    """Every entry of the recordings gives the same columns by either parser, and when the quick one fails."""
    path = SHARED / "real_logs" / log
    if not path.exists():
        pytest.skip(f"no recordings at {SHARED} (set KEYTRAIL_SHARED)")
    batch = batch_of(path.read_bytes())
    BOTH.alike(batch)


@pytest.mark.parametrize("log", ["openbao-live/main.log.1", "openbao-live/second.log", "vault-didentity/audit.log"])
def test_ordinary_entries_stay_on_the_quick_path(log: str) -> None:
    """A hashing device's entries are believed at once, prefix or not: doubt is for doubtful lines."""
    path = SHARED / "real_logs" / log
    if not path.exists():
        pytest.skip(f"no recordings at {SHARED} (set KEYTRAIL_SHARED)")
    batch = batch_of(path.read_bytes())
    assert BOTH.believed(batch) >= 0.99 * len(batch)


HASH = st.integers(0, 15).map(lambda digit: "hmac-sha256:" + f"{digit:x}" * 64)
TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["kv/data/a", "ümläut", 'q"uote', "back\\slash", "<&>", "\u2028", "type", "\x00", "s.", "😀", "-"]),
)
NAME = st.sampled_from(["path", "type", "id", "token", "a", "b c", "user", "time", "data", "ü"])


def _maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


VALUES = st.recursive(
    st.one_of(HASH, st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.just("2026-01-01T00:00:00.5Z"), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAME, inner, max_size=3)),
    max_leaves=6,
)
DATA = st.one_of(st.none(), st.dictionaries(NAME, VALUES, max_size=3), st.just({"http_status_code": 404}))
POLICY = st.one_of(st.none(), _maybe(name=TEXT, type=st.one_of(TEXT, st.none())))
AUTH = _maybe(
    client_token=HASH, accessor=HASH, display_name=TEXT, policies=st.lists(TEXT, max_size=3), entity_id=TEXT,
    policy_results=_maybe(allowed=st.booleans(), granting_policies=st.lists(POLICY, max_size=2)),
    metadata=st.one_of(st.none(), st.dictionaries(st.sampled_from(["role_name", "role", "username", "x"]), TEXT)),
    token_type=TEXT, token_ttl=st.integers(0, 2**64),
)  # fmt: skip
TIMES = st.sampled_from(["2026-03-01T08:00:00Z", "2026-03-01T08:00:00.123456789Z", "2026-03-01T09:00:00+01:00"])
ENTRY = st.fixed_dictionaries(
    {
        "time": TIMES,
        "type": st.sampled_from(["request", "response", "kmip-request", "odd"]),
        "request": _maybe(
            id=TEXT, operation=st.sampled_from(["read", "list", "update"]), mount_point=TEXT, mount_type=TEXT,
            namespace=st.one_of(st.none(), _maybe(id=TEXT, path=TEXT)), path=TEXT, data=DATA, remote_address=TEXT,
            wrap_ttl=st.integers(0, 99), client_token=HASH, client_token_accessor=HASH,
            headers=st.dictionaries(st.sampled_from(["user-agent", "x-audit-canary", "x"]), st.lists(TEXT, max_size=2)),
        ),
    },
    optional={
        "auth": st.one_of(st.none(), AUTH), "error": TEXT, "forwarded_from": TEXT, "forwarded": st.booleans(),
        "response": _maybe(
            auth=AUTH, data=DATA, mount_type=TEXT, warnings=st.lists(TEXT, max_size=2),
            wrap_info=_maybe(ttl=st.integers(0, 9), token=HASH, accessor=HASH, wrapped_accessor=HASH),
        ),
    },
)  # fmt: skip


@settings(deadline=None)
@given(entries=st.lists(ENTRY, min_size=1, max_size=8), seed=st.integers(0, 9), ascii_only=st.booleans())
def test_made_entries_read_alike(entries: list[dict[str, Any]], seed: int, ascii_only: bool) -> None:
    """Entries of every shape, keys in any order and letters written either way, give the same by either parser."""
    rng = random.Random(seed)
    lines = [json.dumps(_shuffled(entry, rng), ensure_ascii=ascii_only) for entry in entries]
    batch = batch_of("\n".join(lines).encode())
    BOTH.alike(batch)


def _shuffled(entry: Any, rng: random.Random) -> Any:
    if not isinstance(entry, dict):
        return entry
    names = list(entry)
    rng.shuffle(names)
    return {name: _shuffled(entry[name], rng) for name in names}


def made(
    *,
    time: str = "2026-03-01T08:00:00Z",
    path: str = '"path":"kv/data/a"',
    auth: str = "",
    request: str = "",
    top: str = "",
) -> str:
    """A line of usual shape, as it is written, with more in its parts."""
    return (
        f'{{"time":"{time}","type":"request","auth":{{"token_type":"service"{auth}}},'
        f'"request":{{"id":"i","operation":"read",{path}{request}}}{top}}}'
    )


SHOWN = "correct horse"
HASHED = "hmac-sha256:" + "a" * 64
UNTYPED = ',"policy_results":{"allowed":true,"granting_policies":[%s]}'
ODD = {
    "a policy without a type pays for a second path": made(auth=UNTYPED % '{"name":"x"}', path='"path":"a","path":"b"'),
    "a policy that is null pays for a second path": made(auth=UNTYPED % "null", path='"path":"a","path":"b"'),
    "a policy of type null pays for a second path": made(
        auth=UNTYPED % '{"type":null},{}', path='"path":"a","path":"b"'
    ),
    "a policy without a type pays for clear data": made(
        auth=UNTYPED % "{}", request=f',"data":{{"a":"{HASHED}"}},"data":{{"password":"{SHOWN}"}}'
    ),
    "a policy without a type pays for data where none is": made(
        auth=UNTYPED % "{}", top=f',"novel":{{"data":{{"password":"{SHOWN}"}}}}'
    ),
    "a policy without a type pays for a token where none is": made(
        auth=UNTYPED % "{}", top=f',"novel":{{"token":"{SHOWN}"}}'
    ),
    "a second path, a CR before its colon": made(path='"path"\r:"a","path":"b"'),
    "a comma before a bracket": made(request=",", top=',"x":[1,]'),
    "a comma and a blank before a bracket": made(top=",\t "),
    "a number that is none": made(request=',"x":nan'),
    "a negative number that is none": made(request=',"x":[ -Inf]'),
    "a time of single digits": made(time="2026-3-1T8:0:0Z"),
    "a time with a blank": made(time="2026-03-01T 08:00:00Z"),
    "a time with a sign": made(time="+2026-03-01T08:00:00Z"),
    "false in quotes": made(auth=',"policy_results":{"allowed":"false"}'),
    "zero for false": made(auth=',"policy_results":{"allowed":0}'),
    "a letter for false": made(auth=',"policy_results":{"allowed":"f"}'),
    "a number in quotes": made(auth=',"token_ttl":"12"'),
    "a number in quotes and blanks": made(auth=',"token_ttl":" 12 "'),
    "a wrapped accessor in clear": made(top=f',"response":{{"wrap_info":{{"wrapped_accessor":"{SHOWN}"}}}}'),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_lines_read_alike(name: str) -> None:
    """Lines on which parsers are known to differ give the same by either, and nothing of them stays in clear."""
    batch = batch_of(ODD[name].encode())
    quick = BOTH.alike(batch)
    kept = quick.replaced.get(0, ODD[name].encode())
    assert SHOWN.encode() not in kept
