"""Policies: who is believed, and how many witnesses it takes."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.core.errors import ConfigError
from pipeline.ledger import note, policy
from pipeline.ledger.note import Verifier


def verifier(seed: int, kind: int = note.COSIGNATURE) -> Verifier:
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32).public_key().public_bytes_raw()
    return Verifier(f"key{seed}", kind, key)


LOG = verifier(99, note.ED25519)
W = [verifier(n) for n in range(5)]
HEAD = f"log {LOG.vkey()}\n" + "".join(f"witness w{n} {w.vkey()}\n" for n, w in enumerate(W))


def test_a_quorum_over_two_levels_of_groups_counts_each_group_once() -> None:
    """Two of three from one group and any of the other: the example of the specification."""
    text = HEAD + "group x 2 w0 w1 w2\ngroup y any w3 w4\ngroup both all x y\nquorum both\n"
    parsed = policy.parse(text.encode())
    assert parsed.satisfied({W[0], W[2], W[4]})
    assert not parsed.satisfied({W[0], W[1], W[2]})
    assert not parsed.satisfied({W[0], W[3], W[4]})
    assert policy.parse(policy.encode(parsed)) == parsed


def test_without_witnesses_the_logs_signature_is_enough() -> None:
    """This is the policy of a new lake."""
    parsed = policy.parse(f"# comment\n\n  log\t{LOG.vkey()} https://example.org/log \nquorum none\n".encode())
    assert parsed.logs == (LOG,)
    assert parsed.satisfied(())


@pytest.mark.parametrize(
    "text",
    [
        "", "log x\nquorum none\n", HEAD, HEAD + "quorum none\nquorum none\n", HEAD + "quorum nobody\n",
        HEAD + "group g 0 w0\nquorum g\n", HEAD + "group g 3 w0 w1\nquorum g\n", HEAD + "group g some w0\nquorum g\n",
        HEAD + "group g all w0 none\nquorum g\n", HEAD + "group g all w0\ngroup h all w0 w1\nquorum h\n",
        HEAD + "group g all w0 w0\nquorum g\n", HEAD + f"witness w0 {verifier(7).vkey()}\nquorum none\n",
        HEAD + f"witness again {W[0].vkey()}\nquorum none\n", HEAD + f"log {LOG.vkey()}\nquorum none\n",
        HEAD + f"witness l {LOG.vkey()}\nquorum none\n", HEAD + f"witness none {verifier(7).vkey()}\nquorum none\n",
        HEAD + "group g all later\nwitness later x\nquorum g\n", HEAD + "quorum none\x00\n",
        HEAD + "other\nquorum none\n",
        HEAD + "group g all\nquorum g\n", HEAD + "group g all g\nquorum g\n",
    ],
)  # fmt: skip
def test_a_policy_that_breaks_a_rule_is_refused(text: str) -> None:
    """Names come before their use, members count once, keys appear once, there is exactly one quorum."""
    with pytest.raises(ConfigError, match="policy"):
        policy.parse(text.encode())


def test_bytes_that_are_no_text_are_carried_or_refused_in_readable_words() -> None:
    """Names are opaque bytes; an error about one can be printed and stored."""
    text = HEAD.encode().replace(b"witness w0", b"witness \xe2\x84") + b"quorum \xe2\x84\n"
    parsed = policy.parse(text)
    assert parsed.satisfied({W[0]})
    assert policy.parse(policy.encode(parsed)) == parsed
    with pytest.raises(ConfigError) as caught:
        policy.parse(HEAD.encode() + b"quorum \x8a\n")
    assert str(caught.value).isprintable()
    with pytest.raises(ConfigError):
        policy.parse(b"log \xff" + LOG.vkey().encode() + b"\nquorum none\n")
