"""A policy of Vault and OpenBao, in HCL."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pipeline.inquiry.policy.escaped import comment, comments, history, quoted, refused
from pipeline.inquiry.policy.grants import SIBLINGS, Grant, folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_CAPABILITIES: Final = ("create", "read", "update", "patch", "delete", "list", "scan", "sudo")

# The built-in default policy of both servers, and what is answered without any: log-ins, and what the UI asks first.
_DEFAULT: Final = re.compile(
    r"(?:auth/token/(?:lookup|renew|revoke)-self"
    r"|sys/(?:capabilities-self|internal/ui/.*|(?:leases/)?renew|leases/lookup|wrapping/.*|tools/hash(?:/.*)?)"
    r"|sys/control-group/request|cubbyhole/.*|identity/oidc/provider/[^/]+/authorize"
    r"|sys/(?:health|seal-status|leader|ha-status|init)|sys/replication/(?:.*/)?status"
    r"|auth/.+/(?:login(?:/.*)?|oidc/(?:auth_url|callback|poll)|callback))/?"
)
# Root-protected paths: those that the servers' system, token and PKI back ends declare.
_SUDO: Final = re.compile(
    r"(?:sys/(?:auth/.+|remount|audit(?:/.*)?|raw(?:/.*)?|rotate|seal|step-down|leases|leases/lookup/.*|internal/inspect/.*"
    r"|config/(?:cors|auditing/.*|ui/headers/.*)|plugins/(?:runtimes/)?catalog/.*|(?:leases/)?revoke-(?:prefix|force)/.*"
    r"|storage/raft/snapshot-auto/config/.*|replication/(?:(?:performance|dr)/)?(?:primary/secondary-token|reindex))"
    r"|auth/token/(?:accessors.*|revoke-orphan.*))"
)


def needless(row: Mapping[str, Any]) -> bool:
    """Whether it needs no policy of its own."""
    return bool(_DEFAULT.fullmatch(row["path"])) or row["api_operation"] not in _CAPABILITIES


def shaped(grants: Iterable[Grant], refused: Iterable[Grant]) -> tuple[list[Grant], list[Grant]]:
    """Both with capabilities in their usual order, sudo where it is needed, and siblings as one."""
    seen, asked = ([replace(one, capabilities=_capabilities(one)) for one in some] for some in (grants, refused))
    plain = [one for one in seen if not _unwritable(one.path)]
    odd = [replace(one, note=_unwritable(one.path)) for one in seen if _unwritable(one.path)]
    known = {(one.namespace, one.path): set(one.capabilities) for one in seen}
    denied = [one for one in asked if one.status == "denied"]
    never = [one for one in denied if set(one.capabilities) - known.get((one.namespace, one.path), set())]
    return folded(plain, never) + odd, asked


def _capabilities(grant: Grant) -> tuple[str, ...]:
    root = grant.mount_type == "pki" and grant.path.removeprefix(grant.mount) in {"root", "root/sign-self-issued"}
    found = {*grant.capabilities, *(("sudo",) if root or _SUDO.fullmatch(grant.path) else ())}
    return tuple(word for word in _CAPABILITIES if word in found)


def _unwritable(path: str) -> str:
    """Why a policy cannot name exactly this path; empty when it can."""
    if not path:
        return "the log tells no path"
    if path.endswith("*") or "+*" in path:
        return "a policy would take the * for any ending"
    if "+" in path.split("/"):
        return "a policy would take the + for any name"
    return "a policy would take {{ for a template" if "{{" in path else ""


def lines(head: Sequence[str], grants: Sequence[Grant], others: Sequence[Grant]) -> tuple[list[str], list[str]]:
    """The policy. Paths of one namespace are written as that namespace has them, else with it in front."""
    spaces = {one.namespace for one in grants}
    found = comments(head)
    if spaces == {""} or not spaces:
        inside = ""
    elif len(spaces) == 1:
        (inside,) = spaces
        found.append(comment(f"Keep it in the namespace {quoted(inside)}."))
    else:
        inside = ""
        found.append(comment("Keep it in the root namespace: paths begin with the namespace they are in."))
    if sum(one.fixed is None and one.paths == 1 for one in grants) >= SIBLINGS:
        found.append(
            comment("Roles, policies and mounts it wrote are listed one by one: a + there would be any right.")
        )
    for one in grants:
        path = f"{one.namespace}/{one.path}" if one.namespace != inside else one.path
        found += ["", *_stanza(one, path)]
    return found + refused(others), []


def _stanza(grant: Grant, path: str) -> list[str]:
    head = comments([grant.note] * bool(grant.note) + [history(grant)])
    words = ", ".join(map(quoted, grant.capabilities))
    body = [f"path {quoted(path)} {{", f"  capabilities = [{words}]", "}"]
    if _unwritable(grant.path) and grant.paths == 1:
        return head + comments(body)
    return head + body
