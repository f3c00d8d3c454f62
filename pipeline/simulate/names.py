"""Word lists: an estate reads like one, and no name in it means anything."""

from __future__ import annotations

import numpy as np

TEAMS = (
    "payments", "checkout", "search", "identity", "ledger", "billing", "catalog", "shipping", "pricing", "fraud",
    "messaging", "media", "reports", "platform", "mobile", "growth", "risk", "support", "orders", "inventory",
    "returns", "partners", "insight", "content", "network",
)  # fmt: skip
PARTS = (
    "api", "worker", "gateway", "scheduler", "router", "sync", "index", "cache", "export", "import", "render", "queue",
    "stream", "batch", "front", "store", "audit", "quota", "match", "score", "notify", "webhook", "archive", "proxy",
)  # fmt: skip
ITEMS = (
    "db", "cache", "smtp", "api-key", "webhook", "tls", "queue", "oauth", "signing", "s3", "sentry", "license", "ftp",
    "ldap", "broker", "metrics",
)  # fmt: skip
SHARED = ("mail-relay", "proxy", "registry", "geo-api", "sms", "cdn", "tracing", "flags", "maps", "exchange-rates")
PEOPLE = (
    "ada", "ben", "carla", "dmitri", "elif", "farid", "greta", "hugo", "ines", "jonas", "kira", "liam", "maria", "nils",
    "olga", "pavel", "quentin", "rosa", "selma", "timo", "uma", "viktor", "wanda", "xenia", "yusuf", "zoe",
)  # fmt: skip
SURNAMES = (
    "abel", "brandt", "costa", "dahl", "engel", "fuchs", "garcia", "holm", "ivanov", "jung", "klein", "lopez", "moreau",
    "novak", "olsen", "petit", "quist", "rossi", "santos", "toth", "ulrich", "vogel", "weber", "young", "zeller",
)  # fmt: skip
FIELDS = (
    ("password", "username"), ("value",), ("token",), ("certificate", "private_key"), ("host", "password", "username"),
    ("access_key", "secret_key"), ("client_id", "client_secret"), ("dsn",),
)  # fmt: skip
AGENTS = {
    "pod": ("vault-agent/1.19", "Go-http-client/1.1", "hvac/2.3.0", "spring-vault-core/3.1.2", "node-vault/0.10.2"),
    "machine": ("vault-agent/1.19", "consul-template/0.39.1", "Go-http-client/2.0", "python-requests/2.32.3"),
    "ci": ("gitlab-runner/17.5.0", "curl/8.9.1", "vault-action/3.0.0"),
    "human": ("bao/2.5.0", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "curl/8.9.1", "Go-http-client/1.1"),
    "tool": ("Go-http-client/1.1", "python-requests/2.32.3", "external-secrets/0.14.1", "terraform-provider-vault/4.5"),
}
USER_AGENTS = tuple(sorted({a for group in AGENTS.values() for a in group}))


def agent(rng: np.random.Generator, group: str) -> int:
    """Index into USER_AGENTS of one that this group uses; the first are the common ones."""
    choices = AGENTS[group]
    return USER_AGENTS.index(choices[min(int(rng.geometric(0.45)) - 1, len(choices) - 1)])


def unique(names: list[str]) -> list[str]:
    """The same names, later repetitions numbered."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        count = seen[name] = seen.get(name, 0) + 1
        result.append(name if count == 1 else f"{name}-{count}")
    return result
