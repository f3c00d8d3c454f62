"""What requests carry and what answers hold, kind by kind: the texts between the fixed parts of an entry.

Every function takes the rows of one kind and gives three columns (a list, or one text for all): the request's data,
the answer's auth, and the rest of the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.stage import moment_text, request_ids

if TYPE_CHECKING:
    from pipeline.simulate.rows import Rows
    from pipeline.simulate.traffic import World
    from pipeline.simulate.vault.hashing import Hasher
    from pipeline.simulate.vault.tokens import Tokens

Column = list[str] | str
Parts = tuple[Column, Column, Column]
Shape = Callable[["Shapes", "Rows"], Parts]
_KEEP = 100_000


class Shapes:
    """The texts of one device. Those of a secret's version are made once."""

    def __init__(self, world: World, hasher: Hasher, tokens: Tokens) -> None:
        self.world, self.hasher, self.tokens = world, hasher, tokens
        self._values: dict[tuple[int, int], tuple[str, str]] = {}

    def parts(self, shape: str, rows: Rows) -> Parts:
        """The three columns for rows of one kind."""
        return _SHAPES[shape](self, rows)

    def value(self, what: int, version: int) -> tuple[str, str]:
        """Fields and metadata of one version of a secret, as JSON."""
        found = self._values.get((what, version))
        if found is None:
            if len(self._values) >= _KEEP:
                self._values.clear()
            names = self.world.estate.object_fields[what] if what < len(self.world.estate.object_fields) else ("value",)
            secret = self.world.estate.secret(what)
            fields = ",".join(f'"{n}":"{self.hasher(f"{n} of {secret} v{version}")}"' for n in names)
            created = trimmed(self.world.versions.created(what, version))
            found = self._values[(what, version)] = (
                f"{{{fields}}}",
                f'{{"created_time":"{created}","custom_metadata":null,"deletion_time":"{self.hasher("")}",'
                f'"destroyed":false,"version":{version}}}',
            )
        return found

    def hashes(self, rows: Rows, field: str) -> list[str]:
        """A value of its own for every row."""
        return [self.hasher.once(f"{field} {i}") for i in request_ids(rows)]


def trimmed(ns: int) -> str:
    """RFC 3339 as Go writes it."""
    return moment_text(ns)[:-1].rstrip("0").rstrip(".") + "Z"


def _data(fields: str) -> str:
    return f',"data":{{{fields}}}'


def _kv_read(shapes: Shapes, rows: Rows) -> Parts:
    keys, place = np.unique(rows[["object", "version"]], return_inverse=True)
    made = [shapes.value(o, v) for o, v in keys.tolist()]
    texts = [f',"data":{{"data":{fields},"metadata":{meta}}}' for fields, meta in made]
    return "", "", [texts[i] for i in place.tolist()]


def _kv_write(shapes: Shapes, rows: Rows) -> Parts:
    made = [shapes.value(o, v) for o, v in rows[["object", "version"]].tolist()]
    return [f',"data":{{"data":{f}}}' for f, _ in made], "", [f',"data":{m}' for _, m in made]


def _kv_metadata(shapes: Shapes, rows: Rows) -> Parts:
    made = [shapes.value(o, max(v, 1))[1] for o, v in rows[["object", "version"]].tolist()]
    return (
        "",
        "",
        [
            f',"data":{{"current_version":{v},"versions":{{"{v}":{m}}}}}'
            for m, v in zip(made, rows["version"].tolist(), strict=True)
        ],
    )


def _keys(shapes: Shapes, rows: Rows) -> Parts:
    distinct, place = np.unique(rows["object"], return_inverse=True)
    texts = []
    for what in distinct.tolist():
        names = shapes.world.estate.children.get(what, [])
        texts.append(_data('"keys":[' + ",".join(f'"{shapes.hasher(n)}"' for n in names) + "]") if names else "")
    return "", "", [texts[i] for i in place.tolist()]


def _empty(_shapes: Shapes, _rows: Rows) -> Parts:
    return "", "", ""


def _versions(_shapes: Shapes, rows: Rows) -> Parts:
    return (
        [
            f',"data":{{"versions":[{",".join(str(v + 1) for v in range(max(1, n)))}]}}'
            for n in rows["version"].tolist()
        ],
        "",
        "",
    )


def _lease(shapes: Shapes, rows: Rows) -> Parts:
    names = [shapes.world.estate.object_name[o] for o in rows["object"].tolist()]
    lease = [f"{h:016x}{l:016x}"[3:27] for h, l in zip(rows["lo"].tolist(), rows["hi"].tolist(), strict=True)]
    users, words = shapes.hashes(rows, "username"), shapes.hashes(rows, "password")
    body = [
        f',"secret":{{"lease_id":"database/creds/{n}/{i}"}},"data":{{"password":"{p}","username":"{u}"}}'
        for n, i, u, p in zip(names, lease, users, words, strict=True)
    ]
    return "", "", body


def _encrypt(shapes: Shapes, rows: Rows) -> Parts:
    plain = [_data(f'"plaintext":"{h}"') for h in shapes.hashes(rows, "plain")]
    return plain, "", [_data(f'"ciphertext":"{h}","key_version":1') for h in shapes.hashes(rows, "cipher")]


def _decrypt(shapes: Shapes, rows: Rows) -> Parts:
    cipher = [_data(f'"ciphertext":"{h}"') for h in shapes.hashes(rows, "cipher")]
    return cipher, "", [_data(f'"plaintext":"{h}"') for h in shapes.hashes(rows, "plain")]


def _certificate(shapes: Shapes, rows: Rows) -> Parts:
    name = [
        _data(f'"common_name":"{shapes.hasher(n)}"')
        for n in (f"{shapes.world.estate.object_name[o]}.example.com" for o in rows["object"].tolist())
    ]
    ca = shapes.hasher("the issuing certificate")
    body = []
    columns = (rows["t"].tolist(), *(shapes.hashes(rows, f) for f in ("certificate", "key", "serial")))
    for t, certificate, key, serial in zip(*columns, strict=True):
        now = t // 1_000_000_000
        body.append(
            f',"data":{{"ca_chain":["{ca}"],"certificate":"{certificate}","expiration":{now + 259200},"issuing_ca":"{ca}",'
            f'"not_before":{now - 30},"private_key":"{key}","private_key_type":"{shapes.hasher("rsa")}","serial_number":"{serial}"}}'
        )
    return name, "", body


def _login(shapes: Shapes, rows: Rows) -> Parts:
    estate = shapes.world.estate
    given = []
    columns = rows[["principal", "issued", "object"]].tolist()
    for (principal, issued, what), h in zip(columns, shapes.hashes(rows, "once"), strict=True):
        kind = estate.mounts[estate.object_mount[what]].type
        if kind == "approle":
            role = shapes.hasher(f"role id of {estate.local[principal]}")
            given.append(
                _data(
                    f'"role_id":"{role}","secret_id":"{shapes.hasher(f"secret id of {estate.local[principal]}") if issued >= 0 else h}"'
                )
            )
        elif kind == "userpass":
            given.append(
                _data(f'"password":"{shapes.hasher(f"password of {estate.local[principal]}") if issued >= 0 else h}"')
            )
        else:
            role = estate.local[principal].rsplit("/", 1)[-1]
            given.append(_data(f'"jwt":"{h}","role":"{shapes.hasher(role)}"'))
    return given, _issued(shapes, rows), ""


def _issued(shapes: Shapes, rows: Rows) -> list[str]:
    return ["" if s < 0 else f'"auth":{{{shapes.tokens.issued(s)}}},' for s in rows["issued"].tolist()]


def _renew(shapes: Shapes, rows: Rows) -> Parts:
    return "", [f'"auth":{{{shapes.tokens.renewed(s)}}},' for s in rows["session"].tolist()], ""


def _lookup(shapes: Shapes, rows: Rows) -> Parts:
    return "", "", [_data(shapes.tokens.looked_up(s, t)) for s, t in rows[["session", "t"]].tolist()]


def _token(shapes: Shapes, rows: Rows) -> Parts:
    asked = []
    for session in rows["issued"].tolist():
        policies = ",".join(f'"{shapes.hasher(p)}"' for p in shapes.tokens.policies(session) if p != "default")
        asked.append(_data(f'"policies":[{policies}],"ttl":"{shapes.hasher(shapes.tokens.ttl_text(session))}"'))
    return asked, _issued(shapes, rows), ""


def _accessor(shapes: Shapes, rows: Rows) -> Parts:
    return [_data(f'"accessor":"{shapes.tokens.accessor(s)}"') for s in rows["issued"].tolist()], "", ""


def _hashed(name: str) -> Shape:
    def shape(shapes: Shapes, rows: Rows) -> Parts:
        return [_data(f'"{name}":"{h}"') for h in shapes.hashes(rows, name)], "", ""

    return shape


def _policy_read(shapes: Shapes, rows: Rows) -> Parts:
    names = [shapes.world.estate.object_name[o] for o in rows["object"].tolist()]
    return "", "", [_data(f'"name":"{shapes.hasher(n)}","policy":"{shapes.hasher(f"policy {n}")}"') for n in names]


def _role(shapes: Shapes, rows: Rows) -> Parts:
    names = [shapes.world.estate.object_name[o] for o in rows["object"].tolist()]
    return (
        [
            _data(
                f'"secret_id_ttl":"{shapes.hasher("24h")}","token_policies":["{shapes.hasher(n)}"],"token_ttl":"{shapes.hasher("1h")}"'
            )
            for n in names
        ],
        "",
        "",
    )


def _secret_id(shapes: Shapes, rows: Rows) -> Parts:
    pairs = zip(shapes.hashes(rows, "secret id"), shapes.hashes(rows, "secret id accessor"), strict=True)
    return (
        "",
        "",
        [
            _data(f'"secret_id":"{i}","secret_id_accessor":"{a}","secret_id_num_uses":0,"secret_id_ttl":86400')
            for i, a in pairs
        ],
    )


def _audit(shapes: Shapes, rows: Rows) -> Parts:
    names = [shapes.world.estate.object_name[o] for o in rows["object"].tolist()]
    kind = shapes.hasher("file")
    return (
        [
            f',"data":{{"options":{{"file_path":"{shapes.hasher(f"/var/log/{n}.log")}"}},"type":"{kind}"}}'
            for n in names
        ],
        "",
        "",
    )


def _header(_shapes: Shapes, _rows: Rows) -> Parts:
    return ',"data":{"hmac":false}', "", ""


def _root_attempt(shapes: Shapes, rows: Rows) -> Parts:
    return (
        "",
        "",
        [
            _data(
                f'"complete":false,"encoded_token":"{shapes.hasher("")}","nonce":"{h}","progress":0,"required":3,"started":true'
            )
            for h in shapes.hashes(rows, "nonce")
        ],
    )


def _root_update(shapes: Shapes, rows: Rows) -> Parts:
    given = [
        _data(f'"key":"{k}","nonce":"{n}"')
        for k, n in zip(shapes.hashes(rows, "share"), shapes.hashes(rows, "nonce"), strict=True)
    ]
    done = [
        _data(f'"complete":{"true" if i + 1 == len(rows) else "false"},"progress":{min(i + 1, 3)},"required":3')
        for i in range(len(rows))
    ]
    return given, "", done


def _stream(shapes: Shapes, _rows: Rows) -> Parts:
    return "", "", _data(f'"http_content_type":"{shapes.hasher("application/gzip")}","http_status_code":200')


def _key_config(_shapes: Shapes, _rows: Rows) -> Parts:
    return (
        ',"data":{"exportable":true}',
        "",
        ',"data":{"allow_plaintext_backup":false,"deletion_allowed":false,"exportable":true,"latest_version":1}',
    )


def _key_export(shapes: Shapes, rows: Rows) -> Parts:
    return (
        "",
        "",
        [
            f',"data":{{"keys":{{"1":"{h}"}},"name":"{h}","type":"{shapes.hasher("aes256-gcm96")}"}}'
            for h in shapes.hashes(rows, "key")
        ],
    )


def _capabilities(shapes: Shapes, rows: Rows) -> Parts:
    return (
        [_data(f'"paths":["{h}"]') for h in shapes.hashes(rows, "path")],
        "",
        _data(f'"capabilities":["{shapes.hasher("read")}"]'),
    )


def _wrap(shapes: Shapes, rows: Rows) -> Parts:
    body = []
    for what, t, issued in rows[["object", "t", "issued"]].tolist():
        path = (
            shapes.world.estate.mounts[shapes.world.estate.object_mount[what]].point
            + "data/"
            + shapes.world.estate.object_name[what]
        )
        body.append(
            f',"wrap_info":{{"ttl":120,"token":"{shapes.tokens.token(issued)}","accessor":"{shapes.tokens.accessor(issued)}",'
            f'"creation_time":"{trimmed(t + 400_000)}","creation_path":"{path}"}}'
        )
    return "", "", body


def _wrap_lookup(shapes: Shapes, rows: Rows) -> Parts:
    given = [_data(f'"token":"{shapes.tokens.token(s)}"') for s in rows["issued"].tolist()]
    times = [trimmed(int(shapes.world.sessions.table["start"][s]) + 400_000) for s in rows["issued"].tolist()]
    paths = shapes.hashes(rows, "path")
    return (
        given,
        "",
        [
            _data(f'"creation_path":"{p}","creation_time":"{t}","creation_ttl":120')
            for p, t in zip(paths, times, strict=True)
        ],
    )


def _unwrap(shapes: Shapes, rows: Rows) -> Parts:
    hashes = shapes.hashes(rows, "unwrapped")
    empty = shapes.hasher("")
    return "", "", [
        f',"data":{{"data":{{"value":"{h}"}},"metadata":{{"created_time":"{trimmed(t - 86_400_123_456_789)}","custom_metadata":null,'
        f'"deletion_time":"{empty}","destroyed":false,"version":1}}}}'
        for h, t in zip(hashes, rows["t"].tolist(), strict=True)
    ]  # fmt: skip


def _mounts(shapes: Shapes, _rows: Rows) -> Parts:
    listed = ",".join(
        f'"{m.point}":{{"accessor":"{shapes.hasher(m.accessor)}","type":"{shapes.hasher(m.type)}"}}'
        for m in shapes.world.estate.mounts
        if m.klass == "secret"
    )
    return "", "", f',"data":{{"auth":{{}},"secret":{{{listed}}}}}'


_SHAPES: dict[str, Shape] = {
    "kv_read": _kv_read, "kv_write": _kv_write, "kv_metadata": _kv_metadata, "keys": _keys, "empty": _empty,
    "versions": _versions, "lease": _lease, "encrypt": _encrypt, "decrypt": _decrypt, "certificate": _certificate,
    "login": _login, "renew": _renew, "lookup": _lookup, "token": _token, "accessor": _accessor,
    "policy": _hashed("policy"), "policy_read": _policy_read, "role": _role, "secret_id": _secret_id, "audit": _audit,
    "header": _header, "root_attempt": _root_attempt, "root_update": _root_update, "stream": _stream,
    "key_config": _key_config, "key_export": _key_export, "capabilities": _capabilities, "wrap": _wrap,
    "wrap_lookup": _wrap_lookup, "unwrap": _unwrap, "mounts": _mounts,
}  # fmt: skip
