"""`keytrail investigate`: exact answers over a log of a few lines, and names that fit nothing or too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.command import Done, keytrail
from tests.scenarios.vault_lines import stamp
from tests.unit.inquiry.told_lines import Log, hashed

if TYPE_CHECKING:
    from pathlib import Path

DB, MAIL = "kv/data/app/db", "kv/data/app/mail"
BAD = 'kv/data/a"b\n${x}\x1b[2J'


def at(minute: float) -> str:
    """A minute of the log as JSON tells it."""
    return stamp(minute * 60)


def dated(row: dict[str, Any], *names: str) -> list[Any]:
    """Some of a row's values."""
    return [row[name] for name in names]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bob reads a secret, from minute 40 on Eve does; Ada replaces it at 50; Eve reads the old version once more."""
    log = Log()
    log.ask(0, "userpass-ada", DB, "update", version=1)
    log.ask(1, "userpass-ada", MAIL, "update", version=1)
    for minute in (10, 20):
        log.ask(minute, "userpass-bob", DB, version=1)
    log.ask(25, "userpass-bob", MAIL, version=1)
    log.ask(39, "userpass-eve", MAIL, token="e1", address="10.9.9.9", denied=True)
    log.ask(40, "userpass-eve", DB, version=1, token="e1", address="10.9.9.9")
    log.ask(41, "userpass-eve", MAIL, version=1, token="e1", address="10.9.9.9")
    made = {"accessor": hashed("t2"), "client_token": hashed("y"), "display_name": "token-ci", "policies": ["default"],
            "token_type": "service"}  # fmt: skip
    token = {"mount": "auth/token/", "kind": "token"}
    log.ask(42, "userpass-eve", "auth/token/create", "update", token="e1", address="10.9.9.9", made=made, **token)
    log.ask(43, "token-ci", MAIL, version=1, token="t2", address="10.9.9.9")
    log.ask(50, "userpass-ada", DB, "update", version=2)
    log.ask(51, "userpass-ada", "auth/token/revoke-accessor", "update", data={"accessor": hashed("e1")}, **token)
    log.ask(55, "userpass-bob", DB, version=2)
    log.ask(60, "userpass-eve", DB, version=1, token="e1", address="10.9.9.9", data={"version": hashed("1")})
    log.ask(65, "userpass-ada", "auth/userpass/users/eve", "delete", mount="auth/userpass/", kind="userpass")
    log.ask(70, "userpass-eve", DB, token="e1", address="10.9.9.9", denied=True)
    for space in ("team-a", "team-b"):
        log.ask(71, "userpass-bob", "kv/data/twin", version=1, space=space)
    log.ask(72, "userpass-bob", BAD, version=1)
    log.ask(73, "userpass-ada", "sys/audit/file", "delete", mount="sys/", kind="system")
    return log.lake(tmp_path_factory.mktemp("asked"))


def asked(lake: Path, name: str, *words: str) -> dict[str, list[dict[str, Any]]]:
    """The parts of an investigation, each with its rows."""
    done = keytrail("investigate", name, "--lake", lake, "--format", "json", *words)
    assert done.code == 0, done.error
    found: dict[str, list[dict[str, Any]]] = {}
    for row in done.rows:
        found.setdefault(row.pop("part"), []).append(row)
    return found


def test_the_clock_of_a_secret_ends_with_the_last_read_of_the_old_value(lake: Path) -> None:
    """It was replaced after 20 minutes; the old version was read ten minutes later, and then refused."""
    (clock,) = asked(lake, "kv/app/db", "--since", at(30))["clock"]
    assert dated(clock, "state", "since", "since_from", "version", "seconds") == ["stopped", at(30), "--since", 1, 1800]
    assert dated(clock, "action", "action_time", "action_by") == ["replaced", at(50), "userpass/ada"]
    assert dated(clock, "last_success", "last_success_by", "successes_after") == [at(60), "userpass/eve", 1]
    assert dated(clock, "stopped_at", "refused_at", "refused_by") == [at(60), at(70), "userpass/eve"]
    assert "not destroyed" in clock["note"]


def test_the_clock_runs_while_nothing_was_done(lake: Path) -> None:
    """Up to the end of the period, with the last read as it was known then."""
    (clock,) = asked(lake, "kv/app/db", "--since", at(30), "--to", at(47))["clock"]
    assert dated(clock, "state", "action", "stopped_at") == ["running", None, None]
    assert clock["seconds"] == pytest.approx(17 * 60)
    assert dated(clock, "last_success", "last_success_from") == [at(40), "10.9.9.9"]


def test_without_a_compromise_there_is_no_clock(lake: Path) -> None:
    """Nobody said that it leaked, and there is no high alert about it."""
    found = asked(lake, "kv/app/mail")
    assert "clock" not in found
    assert {row["new"] for row in found["reader"]} == {None}


def test_readers_are_told_with_who_is_new(lake: Path) -> None:
    """The new one first, with counts since then and where from."""
    found = asked(lake, "kv/app/db", "--since", at(30))
    columns = ("principal", "reads", "reads_since", "denied", "first", "last", "new", "addresses")
    assert [dated(row, *columns) for row in found["reader"]] == [
        ["userpass/eve", 2, 2, 1, at(40), at(60), True, ["10.9.9.9"]],
        ["userpass/bob", 3, 1, 0, at(10), at(55), False, ["10.1.2.3"]],
    ]
    assert [dated(row, "principal", "secret", "reads") for row in found["spread"]] == [
        ["userpass/eve", "kv/app/mail", 1]
    ]


def test_versions_changes_and_timeline_of_a_secret(lake: Path) -> None:
    """Each version with who wrote and read it; what was done in order, the compromise among it."""
    found = asked(lake, "kv/app/db", "--since", at(30))
    columns = ("version", "written", "written_by", "reads", "readers", "last_reader")
    assert [dated(row, *columns) for row in found["version"]] == [
        [1, at(0), "userpass/ada", 4, 2, "userpass/eve"],
        [2, at(50), "userpass/ada", 1, 1, "userpass/bob"],
    ]
    assert [dated(row, "time", "did", "version") for row in found["change"]] == [
        [at(0), "replaced", 1],
        [at(50), "replaced", 2],
    ]
    assert [dated(row, "time", "what", "who") for row in found["event"]] == [
        [at(0), "replaced", "userpass/ada"],
        [at(10), "first read", "userpass/bob"],
        [at(30), "compromise declared (--since)", None],
        [at(40), "first read", "userpass/eve"],
        [at(50), "replaced", "userpass/ada"],
        [at(60), "high alert: Token used after its revocation", "userpass/eve"],
        [at(70), "refused", "userpass/eve"],
    ]


def test_what_a_principal_reached(lake: Path) -> None:
    """Secrets, with others who read them and whether they were replaced after its last read; places; sessions."""
    found = asked(lake, "userpass/eve", "--since", at(30))
    columns = ("secret", "reads", "last", "others", "consumers", "replaced")
    assert [dated(row, *columns) for row in found["blast"]] == [
        ["kv/app/mail", 1, at(41), 2, ["token/ci", "userpass/bob"], None],
        ["kv/app/db", 2, at(60), 1, ["userpass/bob"], None],
    ]
    assert [dated(row, "secret", "reads", "new") for row in found["secret"]] == [
        ["kv/app/db", 2, True],
        ["kv/app/mail", 1, True],
    ]
    assert [dated(row, "client_ip", "operations", "denied", "new", "others") for row in found["place"]] == [
        ["10.9.9.9", 6, 2, True, 1]
    ]
    assert [dated(row, "principal", "addresses", "operations") for row in found["neighbour"]] == [
        ["token/ci", ["10.9.9.9"], 1]
    ]


def test_sessions_and_what_they_made(lake: Path) -> None:
    """A session that was revoked and used after that; the token it made, with its use."""
    found = asked(lake, "userpass/eve", "--since", at(30))
    columns = ("session", "first", "last", "operations", "revoked", "revoked_by", "used_after", "state")
    assert [dated(row, *columns) for row in found["session"]] == [
        [hashed("e1"), at(39), at(70), 6, at(51), "userpass/ada", 1, "used after that"]
    ]
    assert [dated(row, "time", "made_for", "session", "uses", "last_used") for row in found["made"]] == [
        [at(42), "token/ci", hashed("t2"), 1, at(43)]
    ]


def test_the_clock_of_a_principal_ends_when_its_credential_did(lake: Path) -> None:
    """A revoked session that still worked does not stop it; the deletion of the user does."""
    found = asked(lake, "userpass/eve", "--since", at(30))
    (clock,) = found["clock"]
    assert dated(clock, "state", "seconds", "stopped_at") == ["stopped", 35 * 60, at(65)]
    assert dated(clock, "action", "action_by", "refused_at") == ["credential deleted", "userpass/ada", at(70)]
    (earlier,) = asked(lake, "userpass/eve", "--since", at(30), "--to", at(62))["clock"]
    assert dated(earlier, "state", "action", "successes_after") == ["running", "session revoked", 1]
    whats = [row["what"] for row in found["event"]]
    assert [what for what in whats if what in {"session revoked", "credential deleted"}] == [
        "session revoked",
        "credential deleted",
    ]


def test_the_first_high_alert_starts_the_clock(lake: Path) -> None:
    """Who disabled the audit device is thought to be compromised since then."""
    found = asked(lake, "userpass/ada")
    assert found["subject"][0]["since_from"] == "first high alert"
    assert found["subject"][0]["since"] == at(73)
    assert any(row["severity"] == "critical" for row in found["alert"])
    assert any("critical alert" in row["what"] for row in found["event"])


def test_every_part_has_one_set_of_keys(lake: Path) -> None:
    """Objects of one part are alike; whether the record is whole is always said."""
    for name in ("kv/app/db", "userpass/eve"):
        found = asked(lake, name, "--since", at(30))
        assert all(len({tuple(row) for row in rows}) == 1 for rows in found.values())
        assert {"subject", "clock", "event", "record", "note"} <= set(found)
        assert any(row["about"] == "record" for row in found["note"])
        assert found["record"][0]["source"].endswith("audit.log")


def test_people_get_headings_and_short_tables(lake: Path) -> None:
    """Sections in capitals, the clock in words, cut at the limit with how many are left."""
    text = keytrail("investigate", "kv/app/db", "--lake", lake, "--since", at(30), "--limit", "1").stdout
    assert text.startswith("kv/app/db: a secret in vault, 2026-03-02 08:00 to 2026-03-02 09:13 UTC\n")
    assert "stopped after 30 min since 2026-03-02 08:30 (--since)" in text
    assert "first refused 2026-03-02 09:10: userpass/eve" in text
    assert "… 1 more (--limit 2)" in text
    for heading in ("TIME TO REVOKE", "WHO READ IT", "TIMELINE", "IS THE RECORD WHOLE?"):
        assert f"\n\n{heading}\n" in text


def test_a_period_leaves_out_the_rest(lake: Path) -> None:
    """Only what was read from there on is counted; who read before is not new."""
    (bob,) = asked(lake, "kv/app/db", "--from", at(50), "--to", at(56))["reader"]
    assert dated(bob, "principal", "reads", "first") == ["userpass/bob", 1, at(10)]


def refused(lake: Path, *words: str) -> Done:
    """A command that has to fail, without a word on stdout."""
    done = keytrail("investigate", *words, "--lake", lake)
    assert done.stdout == ""
    return done


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("nobody/at-all", 3, "knows no secret or principal"),
        ("userpass/evee", 3, "principal userpass/eve"),
        ("app/mail", 3, "is it one of these?\n  secret kv/app/mail"),
        ("userpass", 2, "several fit:\n  principal userpass/ada"),
        ("kv/twin", 2, "--store vault --namespace team-a, --store vault --namespace team-b"),
        ("", 2, "give the name"),
        ("\udcff", 2, "give the name"),
    ],
)
def test_a_name_is_never_guessed(lake: Path, name: str, code: int, told: str) -> None:
    """None is 3 and several are 2, each with the names there are."""
    done = refused(lake, name)
    assert done.code == code
    assert told in done.error


def test_a_namespace_tells_secrets_of_one_name_apart(lake: Path) -> None:
    """By its option, or in front of the name."""
    for words in (("kv/twin", "--namespace", "team-a"), ("team-a/kv/twin",)):
        (subject,) = asked(lake, *words)["subject"]
        assert dated(subject, "name", "namespace", "operations") == ["kv/twin", "team-a", 1]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--since", "soon"), 2, "--since"),
        (("--from", at(9), "--to", at(8)), 2, "--from is not before --to"),
        (("--from", "2027-01-01"), 3, "the record reaches from"),
    ],
)
def test_times_that_make_no_sense_are_refused(lake: Path, words: tuple[str, ...], code: int, told: str) -> None:
    """The option is named, or how far the record reaches."""
    done = refused(lake, "kv/app/db", *words)
    assert done.code == code
    assert told in done.error


def test_no_lake_and_an_empty_one(tmp_path: Path) -> None:
    """Both are no input, and nothing is made."""
    assert refused(tmp_path / "none", "kv/app/db").code == 3
    assert not (tmp_path / "none").exists()
    done = refused(Log().lake(tmp_path), "kv/app/db")
    assert done.code == 3
    assert "not one operation" in done.error


def test_a_hostile_name_is_shown_and_does_nothing(lake: Path) -> None:
    """It can be asked for as it is; a terminal sees none of what acts, and JSON tells it whole."""
    name = BAD.replace("kv/data/", "kv/")
    (subject,) = asked(lake, name)["subject"]
    assert subject["name"] == name
    text = keytrail("investigate", name, "--lake", lake).stdout
    assert "\x1b" not in text
    assert 'a"b ${x}<U+001B>[2J' in text


def test_a_compromise_after_the_record_is_said(lake: Path) -> None:
    """The record cannot tell what happened since; the clock stands at nothing."""
    found = asked(lake, "kv/app/db", "--since", at(500))
    assert found["clock"][0]["seconds"] == 0
    assert any("the record ends" in row["text"] for row in found["note"])
