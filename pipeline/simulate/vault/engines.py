"""Shapes of the secret engines: KV version 2, database, transit, PKI."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pipeline.simulate.rows import Rows
    from pipeline.simulate.vault.shapes import Shapes

Column = list[str] | str
Parts = tuple[Column, Column, Column]
Shape = Callable[["Shapes", "Rows"], Parts]


def data(fields: str) -> str:
    """A data member with the comma before it."""
    return f',"data":{{{fields}}}'


def answer(body: Column) -> Parts:
    """A request without data, and this in the answer."""
    return "", "", body


def _kv_read(shapes: Shapes, rows: Rows) -> Parts:
    keys, place = np.unique(rows[["object", "version"]], return_inverse=True)
    made = [shapes.value(o, v) for o, v in keys.tolist()]
    texts = [data(f'"data":{fields},"metadata":{meta}') for fields, meta in made]
    return answer([texts[i] for i in place.tolist()])


def _kv_write(shapes: Shapes, rows: Rows) -> Parts:
    made = [shapes.value(o, v) for o, v in rows[["object", "version"]].tolist()]
    return [data(f'"data":{f}') for f, _ in made], "", [f',"data":{m}' for _, m in made]


def _kv_metadata(shapes: Shapes, rows: Rows) -> Parts:
    pairs = [(max(v, 1), shapes.value(o, max(v, 1))[1]) for o, v in rows[["object", "version"]].tolist()]
    return answer([data(f'"current_version":{v},"versions":{{"{v}":{m}}}') for v, m in pairs])


def _keys(shapes: Shapes, rows: Rows) -> Parts:
    distinct, place = np.unique(rows["object"], return_inverse=True)
    texts = []
    for what in distinct.tolist():
        listed = ",".join(f'"{shapes.hasher(n)}"' for n in shapes.world.estate.children.get(what, []))
        texts.append(data(f'"keys":[{listed}]') if listed else "")
    return answer([texts[i] for i in place.tolist()])


def _empty(_shapes: Shapes, _rows: Rows) -> Parts:
    return answer("")


def _versions(_shapes: Shapes, rows: Rows) -> Parts:
    return [data(f'"versions":[{v}]') for v in rows["version"].tolist()], "", ""


def _lease(shapes: Shapes, rows: Rows) -> Parts:
    leases = [f"{hi:016x}{lo:016x}"[3:27] for lo, hi in rows[["lo", "hi"]].tolist()]
    users, words = shapes.hashes(rows, "username"), shapes.hashes(rows, "password")
    return answer(
        [
            f',"secret":{{"lease_id":"database/creds/{n}/{i}"}}' + data(f'"password":"{p}","username":"{u}"')
            for n, i, u, p in zip(shapes.names(rows), leases, users, words, strict=True)
        ]
    )


def _encrypt(shapes: Shapes, rows: Rows) -> Parts:
    plain = [data(f'"plaintext":"{h}"') for h in shapes.hashes(rows, "plain")]
    return plain, "", [data(f'"ciphertext":"{h}","key_version":1') for h in shapes.hashes(rows, "cipher")]


def _decrypt(shapes: Shapes, rows: Rows) -> Parts:
    cipher = [data(f'"ciphertext":"{h}"') for h in shapes.hashes(rows, "cipher")]
    return cipher, "", [data(f'"plaintext":"{h}"') for h in shapes.hashes(rows, "plain")]


def _certificate(shapes: Shapes, rows: Rows) -> Parts:
    asked = [data(f'"common_name":"{shapes.hasher(f"{n}.example.com")}"') for n in shapes.names(rows)]
    issuer, kind = shapes.hasher("the issuing certificate"), shapes.hasher("rsa")
    hashes = (shapes.hashes(rows, f) for f in ("certificate", "key", "serial"))
    body = [
        data(
            f'"ca_chain":["{issuer}"],"certificate":"{certificate}","expiration":{now + 259200},'
            f'"issuing_ca":"{issuer}","not_before":{now - 30},"private_key":"{key}",'
            f'"private_key_type":"{kind}","serial_number":"{serial}"'
        )
        for now, certificate, key, serial in zip((rows["t"] // 1_000_000_000).tolist(), *hashes, strict=True)
    ]
    return asked, "", body


def _authority(shapes: Shapes, rows: Rows) -> Parts:
    names, kind = shapes.hashes(rows, "name"), shapes.hasher("rsa")
    certificates, keys = shapes.hashes(rows, "certificate"), shapes.hashes(rows, "key")
    body = [
        data(f'"certificate":"{c}","private_key":"{k}","private_key_type":"{kind}"')
        for c, k in zip(certificates, keys, strict=True)
    ]
    return [data(f'"common_name":"{n}"') for n in names], "", body


def _signed(shapes: Shapes, rows: Rows) -> Parts:
    issuer = shapes.hasher("the issuing certificate")
    made = zip(shapes.hashes(rows, "certificate"), shapes.hashes(rows, "serial"), strict=True)
    body = [data(f'"ca_chain":["{issuer}"],"certificate":"{c}","serial_number":"{s}"') for c, s in made]
    return [data(f'"csr":"{h}"') for h in shapes.hashes(rows, "request")], "", body


def _database(shapes: Shapes, rows: Rows) -> Parts:
    plug = shapes.hasher("postgresql-database-plugin")
    urls = shapes.hashes(rows, "url")
    return [data(f'"connection_url":"{u}","plugin_name":"{plug}"') for u in urls], "", ""


def _key_config(_shapes: Shapes, _rows: Rows) -> Parts:
    changed = '"allow_plaintext_backup":false,"deletion_allowed":false,"exportable":true,"latest_version":1'
    return data('"exportable":true'), "", data(changed)


def _key_export(shapes: Shapes, rows: Rows) -> Parts:
    kind = shapes.hasher("aes256-gcm96")
    named = zip(shapes.names(rows), shapes.hashes(rows, "key"), strict=True)
    return answer([data(f'"keys":{{"1":"{h}"}},"name":"{shapes.hasher(n)}","type":"{kind}"') for n, h in named])


ENGINES: dict[str, Shape] = {
    "kv_read": _kv_read, "kv_write": _kv_write, "kv_metadata": _kv_metadata, "keys": _keys, "empty": _empty,
    "versions": _versions, "lease": _lease, "encrypt": _encrypt, "decrypt": _decrypt, "certificate": _certificate,
    "key_config": _key_config, "key_export": _key_export, "authority": _authority, "signed": _signed,
    "database": _database,
}  # fmt: skip
