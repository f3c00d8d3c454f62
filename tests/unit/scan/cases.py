"""Of each rule: lines that it has to find, with what is the secret in them, and lines that nothing may be found in."""

from __future__ import annotations

import base64
import string
from typing import Final

from tests.unit.scan.credentials import BASE64, WEB, encoded, github, jwt, letters, pem

HEX: Final = "0123456789abcdef"
ID32: Final = string.ascii_uppercase + "234567"
_UUID: Final = "3f2a04e0-4f89-41d3-9a0c-0305e82c3391"

Fires = list[tuple[str, str]]  # line, the secret in it as the line has it


def _fires() -> dict[str, Fires]:
    def at(before: str, secret: str, after: str = "") -> tuple[str, str]:
        return before + secret + after, secret

    share, key_id = encoded(33), "AKIA" + letters(16, ID32)
    webhook = "/".join(("T0" + letters(8, ID32), "B0" + letters(8, ID32), letters(24)))
    password = "Tr0ub4dor" + "!3"
    return {
        "vault_service_token": [
            at("got ", "hvs." + letters(24)),
            at('{"client_token":"', "hvs.CAES" + letters(86, WEB), '"}'),
            at("X-Vault-Token: ", "hvs." + letters(24)),
            at("VAULT_TOKEN=", "hvs." + letters(24)),
        ],
        "vault_batch_token": [at("token=", "hvb." + letters(138, WEB))],
        "vault_recovery_token": [at("recovery ", "hvr." + letters(90, WEB), " used")],
        "vault_legacy_token": [
            at('"client_token":"', "s." + letters(24), '"'),
            at("", "s." + letters(24)),
            at("token ", "r." + letters(24)),
            at("token ", "s." + letters(24) + ".abcde", ","),
        ],
        "vault_legacy_batch_token": [at("token=", "b.AAAAAQ" + letters(120, WEB))],
        "vault_secret_id": [
            at(f"role_id={_UUID[::-1]} secret_id=", _UUID),
            at('approle login {"secret_id": "', _UUID, '"}'),
        ],
        "vault_unseal_key": [
            at("Unseal Key 1: ", share),
            at('"unseal_keys_b64": ["', share, '"]'),
            at('"recovery_keys_hex": [ "', letters(66, HEX), '"]'),
        ],
        "aws_access_key_id": [at("key ", key_id), at("AWS_ACCESS_KEY_ID=", "ASIA" + letters(16, ID32))],
        "aws_secret_access_key": [
            at("aws_secret_access_key = ", letters(40, BASE64)),
            at('"SecretAccessKey": "', letters(40, BASE64), '"'),
            at(f"{key_id},", letters(40, BASE64), ","),
        ],
        "aws_session_token": [at("token=", "IQoJb3JpZ2lu" + letters(400, BASE64) + "==")],
        "gcp_service_account_key": [_gcp()],
        "gcp_api_key": [at("?key=", "AIza" + letters(35, WEB), "&q=1")],
        "gcp_access_token": [at("Bearer ", "ya29." + letters(120, WEB))],
        "gcp_client_secret": [at('"client_secret":"', "GOCSPX-" + letters(28, WEB), '"')],
        "azure_client_secret": [at("AZURE_CLIENT_SECRET=", letters(3) + "8Q~" + letters(34))],
        "azure_storage_key": [
            at("AccountName=logs;AccountKey=", encoded(64), ";EndpointSuffix=core.windows.net"),
            at("SharedAccessKeyName=root;SharedAccessKey=", encoded(32)),
        ],
        "azure_sas": [at("?sv=2024-11-04&se=2026-03-05T00:00:00Z&sr=b&sig=", letters(43) + "%3D")],
        "github_token": [at("https://x:", github(), "@github.com/a/b"), at("GH_TOKEN=", github("ghs_"))],
        "github_fine_grained_token": [at("token ", "github_pat_" + letters(22) + "_" + letters(59))],
        "gitlab_token": [
            at("PRIVATE-TOKEN: ", "glpat-" + letters(20, WEB)),
            at("token=", "glrt-" + letters(27, WEB) + ".01." + letters(9, string.ascii_lowercase + string.digits)),
        ],
        "slack_token": [at("token=", "xox" + "b-2871040312-2871040345-" + letters(24))],
        "slack_webhook": [at("https://hooks.slack.com/services/", webhook)],
        "stripe_key": [at("api_key: ", "sk_live_" + letters(24))],
        "stripe_test_key": [at("api_key: ", "rk_test_" + letters(24))],
        "npm_token": [at("//npm.example.com/:_authToken=", "npm_" + letters(36))],
        "pypi_token": [at("password = ", "pypi-AgEIcHlwaS5vcmc" + letters(120, WEB))],
        "private_key": [
            (pem(), ""),
            (pem("ec", "pkcs1"), ""),
            (pem("ed25519", "openssh"), ""),
            (pem("rsa", "pkcs1", "locked"), ""),
            ('{"key":"' + pem("ed25519").replace("\n", "\\n") + '"}', ""),
        ],
        "kubernetes_service_account_token": [at("Bearer ", jwt({"sub": "system:serviceaccount:shop:cart"}))],
        "jwt": [at('"id_token":"', jwt({"sub": "ann"}), '"')],
        "password": [
            at("password=", password),
            at('{"password": "', password, '"}'),
            at('msg="{\\"db_password\\":\\"', password, '\\"}"'),
            at("pwd: ", "hunter" + "42"),
            at("mysql --password ", password, " -h db"),
            at("<password>", password, "</password>"),
            at("spring.datasource.password = '", password, "'"),
        ],
        "secret_value": [
            at("api_key=", letters(32)),
            at('"clientSecret":"', letters(24), '"'),
            at("session token: ", letters(40, HEX)),
            at("--token ", "ab12cd." + letters(16, HEX)),
        ],
        "url_password": [at("postgres://app:", "s3cretly", "@db:5432/x"), at("redis://:", "p4ssively", "@cache")],
        "basic_authorization": [("Authorization: Basic " + base64.b64encode(f"ann:{password}".encode()).decode(), "")],
        "bearer_token": [at("Authorization: Bearer ", letters(40))],
    }  # fmt: skip


def _gcp() -> tuple[str, str]:
    key = pem().replace("\n", "\\n")
    return f'{{"type": "service_account", "private_key": "{key}", "client_email": "a@p.iam.gserviceaccount.com"}}', ""


FIRES: Final = _fires()

QUIET: Final = [
    f'"client_token":"hmac-sha256:{letters(64, HEX)}","accessor":"hmac-sha256:{letters(64, HEX)}"',
    f'"secret_id":"hmac-sha256:{letters(64, HEX)}","secret_id_accessor":"{_UUID}","role_id":"x"',
    f"commit {letters(40, HEX)}",
    f"request_id={_UUID} secret_id={_UUID}",
    f"deploy token={_UUID}",
    "password=xxxxxxxx",
    "password=<redacted>",
    "password=[REDACTED]",
    "password=********",
    "password=${DB_PASSWORD}",
    "password=$DB_PASSWORD",
    "password={{ db_password }}",
    "password=%s",
    "password=changeme",
    "password='changeMe1'",
    "password: must be at least 8 characters",
    "Password for user1:",
    "password=getPassword()",
    "password=null",
    "pwd=/home/a1/b2",
    "PWD=/builds/g1/p2",
    'token=os.environ["X1"]',
    "invalid token: unexpected",
    "password_hash=$2b$12$" + letters(53),
    "password: $2b$12$" + letters(53),
    "secret: sha256:" + letters(64, HEX),
    "secret=kms/" + _UUID,
    "secret=kv/app/db1",
    "secret: db-creds-v2",
    "secret_name=projects/p1/secrets/db1",
    "secret=/run/secrets/db1",
    "token_type=service token_policies=[default] token_ttl=3600",
    "client_token_accessor=" + letters(24),
    "next_page_token=" + letters(40),
    '"clientRequestToken":"' + letters(32) + '"',
    '"clientToken":"' + letters(18) + '"',
    "arn:aws:secretsmanager:eu-central-1:111122223333:secret:payments/db-CA147D1a",
    "https://user:${PASSWORD}@host/",
    "postgres://user:password@host/db",
    "http://host:8080/a@b",
    "mailto://a@b",
    "it's. Something s.SomeCamelCaseIdentifierAbcd, and b.AAAA",
    "s.substring",
    "see s.c and b.c",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".join(("secret_key=", "")),
    '{"userIdentity":{"type":"IAMUser","accessKeyId":"' + "AKIA" + letters(16, ID32) + '"}}',
    "ghp_" + "x" * 36,
    "ghp_" + letters(30) + "000000",
    "eyJhbGciOiJub25l",
    "eyJub3Q.eyJhbnk." + letters(20),
    "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    "-----BEGIN CERTIFICATE-----\n" + encoded(200),
    "-----BEGIN PUBLIC KEY-----\n" + encoded(200),
    "Unseal Key 1: (hidden)",
    "Unseal Progress 1/3",
    "unseal_key=" + "A" * 44,
    "&sig=" + letters(43) + "%3D",
    "Authorization: Basic realm",
    "basic authentication",
    "Bearer token is missing in request1",
    "vault:v1:" + letters(60, BASE64),
    "password=vault:secret/data/app#db1",
    "password=arn:aws:ssm:eu:1:parameter/x",
    "public_key=" + letters(43),
    "sort_key=" + letters(32),
    "csrf_token=" + letters(32),
    "tokens: 1234567890123456",
    "hvs.short",
    "hvs." + "x" * 40,
    "xoxb-not-a-token-at-all-really",
    "npm_lifecycle_event=test",
    "sk_live_short",
]
