"""Shapes of log-ins, tokens, wrapping and the system paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.simulate.vault.engines import Parts, Shape, answer, data
from pipeline.simulate.vault.texts import trimmed

if TYPE_CHECKING:
    from pipeline.simulate.rows import Rows
    from pipeline.simulate.vault.shapes import Shapes


def _login(shapes: Shapes, rows: Rows) -> Parts:
    columns = rows[["principal", "issued", "object"]].tolist()
    given = [
        _credentials(shapes, principal, what, issued >= 0, fresh)
        for (principal, issued, what), fresh in zip(columns, shapes.hashes(rows, "once"), strict=True)
    ]
    return given, _issued(shapes, rows), ""


def _credentials(shapes: Shapes, principal: int, what: int, right: bool, fresh: str) -> str:
    """What a log-in shows: the same role id, secret id or password each time it is right, a new JWT always."""
    estate, hasher = shapes.world.estate, shapes.hasher
    local = estate.local[principal]
    kind = estate.mounts[estate.object_mount[what]].type
    if kind == "approle":
        secret = hasher(f"secret id of {local}") if right else fresh
        return data(f'"role_id":"{hasher(f"role id of {local}")}","secret_id":"{secret}"')
    if kind == "userpass":
        return data(f'"password":"{hasher(f"password of {local}") if right else fresh}"')
    return data(f'"jwt":"{fresh}","role":"{hasher(local.rsplit("/", 1)[-1])}"')


def _issued(shapes: Shapes, rows: Rows) -> list[str]:
    return ["" if s < 0 else f'"auth":{{{shapes.tokens.issued(s)}}},' for s in rows["issued"].tolist()]


def _renew(shapes: Shapes, rows: Rows) -> Parts:
    return "", [f'"auth":{{{shapes.tokens.renewed(s)}}},' for s in rows["session"].tolist()], ""


def _lookup(shapes: Shapes, rows: Rows) -> Parts:
    return answer([data(shapes.tokens.looked_up(s, t)) for s, t in rows[["session", "t"]].tolist()])


def _token(shapes: Shapes, rows: Rows) -> Parts:
    asked = []
    for session in rows["issued"].tolist():
        policies = ",".join(f'"{shapes.hasher(p)}"' for p in shapes.tokens.policies(session) if p != "default")
        asked.append(data(f'"policies":[{policies}],"ttl":"{shapes.hasher(shapes.tokens.ttl_text(session))}"'))
    return asked, _issued(shapes, rows), ""


def _token_periodic(shapes: Shapes, rows: Rows) -> Parts:
    period = [shapes.hasher(shapes.tokens.ttl_text(session)) for session in rows["issued"].tolist()]
    asked, given, body = _token(shapes, rows)
    return [text[:-1] + f',"period":"{p}"}}' for text, p in zip(asked, period, strict=True)], given, body


def _accessor(shapes: Shapes, rows: Rows) -> Parts:
    return [data(f'"accessor":"{shapes.tokens.accessor(s)}"') for s in rows["issued"].tolist()], "", ""


def _policy(shapes: Shapes, rows: Rows) -> Parts:
    return [data(f'"policy":"{h}"') for h in shapes.hashes(rows, "policy")], "", ""


def _policy_read(shapes: Shapes, rows: Rows) -> Parts:
    hasher = shapes.hasher
    return answer([data(f'"name":"{hasher(n)}","policy":"{hasher(f"policy {n}")}"') for n in shapes.names(rows)])


def _role(shapes: Shapes, rows: Rows) -> Parts:
    day, hour = shapes.hasher("24h"), shapes.hasher("1h")
    asked = [
        data(f'"secret_id_ttl":"{day}","token_policies":["{shapes.hasher(n)}"],"token_ttl":"{hour}"')
        for n in shapes.names(rows)
    ]
    return asked, "", ""


def _secret_id(shapes: Shapes, rows: Rows) -> Parts:
    pairs = zip(shapes.hashes(rows, "secret id"), shapes.hashes(rows, "secret id accessor"), strict=True)
    rest = '"secret_id_num_uses":0,"secret_id_ttl":86400'
    return answer([data(f'"secret_id":"{i}","secret_id_accessor":"{a}",{rest}') for i, a in pairs])


def _audit(shapes: Shapes, rows: Rows) -> Parts:
    kind, hasher = shapes.hasher("file"), shapes.hasher
    paths = [hasher(f"/var/log/{n}.log") for n in shapes.names(rows)]
    return [data(f'"options":{{"file_path":"{p}"}},"type":"{kind}"') for p in paths], "", ""


def _audit_raw(shapes: Shapes, rows: Rows) -> Parts:
    raw, kind, hasher = shapes.hasher("true"), shapes.hasher("file"), shapes.hasher
    options = [f'"file_path":"{hasher(f"/var/log/{n}.log")}","log_raw":"{raw}"' for n in shapes.names(rows)]
    return [data(f'"options":{{{each}}},"type":"{kind}"') for each in options], "", ""


def _tune(shapes: Shapes, _rows: Rows) -> Parts:
    return data(f'"audit_non_hmac_response_keys":["{shapes.hasher("data")}"]'), "", ""


def _header(_shapes: Shapes, _rows: Rows) -> Parts:
    return data('"hmac":false'), "", ""


def _root_attempt(shapes: Shapes, rows: Rows) -> Parts:
    empty = shapes.hasher("")
    rest = '"progress":0,"required":3,"started":true'
    nonces = shapes.hashes(rows, "nonce")
    return answer([data(f'"complete":false,"encoded_token":"{empty}","nonce":"{n}",{rest}') for n in nonces])


def _root_update(shapes: Shapes, rows: Rows) -> Parts:
    shares = zip(shapes.hashes(rows, "share"), shapes.hashes(rows, "nonce"), strict=True)
    done = [data('"progress":1,"required":3')] * len(rows)
    return [data(f'"key":"{k}","nonce":"{n}"') for k, n in shares], "", done


def _stream(shapes: Shapes, _rows: Rows) -> Parts:
    return answer(data(f'"http_content_type":"{shapes.hasher("application/gzip")}","http_status_code":200'))


def _capabilities(shapes: Shapes, rows: Rows) -> Parts:
    asked = [data(f'"paths":["{h}"]') for h in shapes.hashes(rows, "path")]
    return asked, "", data(f'"capabilities":["{shapes.hasher("read")}"]')


def _wrap(shapes: Shapes, rows: Rows) -> Parts:
    estate, tokens = shapes.world.estate, shapes.tokens
    body = [
        f',"wrap_info":{{"ttl":120,"token":"{tokens.token(issued)}","accessor":"{tokens.accessor(issued)}",'
        f'"creation_time":"{trimmed(t + 400_000)}",'
        f'"creation_path":"{estate.mounts[estate.object_mount[what]].point}data/{estate.object_name[what]}"}}'
        for what, t, issued in rows[["object", "t", "issued"]].tolist()
    ]
    return answer(body)


def _wrap_lookup(shapes: Shapes, rows: Rows) -> Parts:
    given = [data(f'"token":"{shapes.tokens.token(s)}"') for s in rows["issued"].tolist()]
    since = [trimmed(t) for t in shapes.world.sessions.table["start"][rows["issued"]].tolist()]
    named = zip(shapes.hashes(rows, "path"), since, strict=True)
    return given, "", [data(f'"creation_path":"{p}","creation_time":"{t}","creation_ttl":120') for p, t in named]


def _unwrap(shapes: Shapes, rows: Rows) -> Parts:
    rest = f'"custom_metadata":null,"deletion_time":"{shapes.hasher("")}","destroyed":false,"version":1'
    body = []
    for value, t in zip(shapes.hashes(rows, "unwrapped"), rows["t"].tolist(), strict=True):
        made = trimmed(t - 86_400_123_456_789)
        body.append(data(f'"data":{{"value":"{value}"}},"metadata":{{"created_time":"{made}",{rest}}}'))
    return answer(body)


def _mounts(shapes: Shapes, _rows: Rows) -> Parts:
    engines = [m for m in shapes.world.estate.mounts if m.klass == "secret"]
    hasher = shapes.hasher
    listed = ",".join(f'"{m.point}":{{"accessor":"{hasher(m.accessor)}","type":"{hasher(m.type)}"}}' for m in engines)
    return answer(data(f'"auth":{{}},"secret":{{{listed}}}'))


SYSTEM: dict[str, Shape] = {
    "login": _login, "renew": _renew, "lookup": _lookup, "token": _token, "token_periodic": _token_periodic,
    "accessor": _accessor, "policy": _policy, "policy_read": _policy_read, "role": _role, "secret_id": _secret_id,
    "audit": _audit, "audit_raw": _audit_raw, "tune": _tune, "header": _header, "root_attempt": _root_attempt,
    "root_update": _root_update, "stream": _stream, "capabilities": _capabilities, "wrap": _wrap,
    "wrap_lookup": _wrap_lookup, "unwrap": _unwrap, "mounts": _mounts,
}  # fmt: skip
