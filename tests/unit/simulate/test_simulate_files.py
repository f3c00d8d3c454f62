"""What a simulated folder holds."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from pipeline.core.errors import ConfigError
from pipeline.simulate import DIFFICULTIES, Attack, Scenario, attacks, confusers, lay, simulate
from pipeline.simulate.samples import STORIES, write_samples
from pipeline.simulate.world import known

ROOT = Path(__file__).resolve().parents[3]
SMALL = Scenario(days=2, preset="xs", rate=0.3, seed=7)


def entries(path: Path) -> list[dict]:
    return [json.loads(line.removeprefix(b"@cee: ")) for line in path.read_bytes().splitlines()]


def test_same_scenario_same_bytes(tmp_path: Path) -> None:
    """Two runs of one scenario write the same bytes, labels included; another seed does not."""
    scenario = msgspec.structs.replace(SMALL, attacks=(Attack("mass_read"), Attack("stuffing")), devices=2)
    for name in ("a", "b"):
        simulate(scenario, tmp_path / name)
    simulate(msgspec.structs.replace(scenario, seed=8), tmp_path / "c")
    for file in ("audit.log", "audit-2.log", "labels.jsonl", "confusers.jsonl"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert (tmp_path / "a" / "audit.log").read_bytes() != (tmp_path / "c" / "audit.log").read_bytes()


@pytest.mark.parametrize(
    "difficulty", [pytest.param(d, marks=[pytest.mark.slow] * (d != "hard")) for d in DIFFICULTIES]
)
def test_twin_has_identical_benign_lines(tmp_path: Path, difficulty: str) -> None:
    """Without its attacks a scenario is the same, line by line, but for the lines the labels claim."""
    names = [n for n in known(attacks) if not n.startswith("audit_")]
    staged = msgspec.structs.replace(SMALL, attacks=tuple(Attack(n, difficulty) for n in names))
    simulate(SMALL, tmp_path / "twin")
    simulate(staged, tmp_path / "staged")
    labels = [json.loads(line) for line in (tmp_path / "staged" / "labels.jsonl").read_bytes().splitlines()]
    theirs = {uid for label in labels for uid in label["correlation_uids"]}
    lines = (tmp_path / "staged" / "audit.log").read_bytes().splitlines()
    rest = [line for line in lines if json.loads(line)["request"]["id"] not in theirs]
    twin = (tmp_path / "twin" / "audit.log").read_bytes().splitlines()
    assert sorted(rest) == sorted(twin)
    assert len(lines) > len(twin)


def test_every_request_is_told_twice(tmp_path: Path) -> None:
    """Each id has one request and one response entry that agree in path, operation and address."""
    simulate(SMALL, tmp_path)
    pairs: dict[str, list[dict]] = {}
    for entry in entries(tmp_path / "audit.log"):
        pairs.setdefault(entry["request"]["id"], []).append(entry)
    assert pairs
    for pair in pairs.values():
        assert sorted(e["type"] for e in pair) == ["request", "response"]
        first, second = (e["request"] for e in pair)
        assert all(first[k] == second[k] for k in ("path", "operation", "remote_address", "remote_port", "namespace"))


def test_devices_tell_the_same_with_another_salt(tmp_path: Path) -> None:
    """A second device has the same requests and no hash in common; its prefix stands before each line."""
    simulate(msgspec.structs.replace(SMALL, devices=2, prefix="@cee: "), tmp_path)
    first, second = (tmp_path / name for name in ("audit.log", "audit-2.log"))
    assert all(line.startswith(b"@cee: {") for line in second.read_bytes().splitlines())
    one, two = entries(first), entries(second)
    assert Counter(e["request"]["id"] for e in one) == Counter(e["request"]["id"] for e in two)
    hashes = [{e["auth"]["accessor"] for e in side if "accessor" in e["auth"]} for side in (one, two)]
    assert len(hashes[0]) == len(hashes[1])
    assert not hashes[0] & hashes[1]


def test_hashes_are_hmac_of_the_device_salt(tmp_path: Path) -> None:
    """The empty string hashes to one value everywhere in a file, and some salt-keyed HMAC of it has that form."""
    simulate(SMALL, tmp_path)
    empty = {
        e["response"]["data"]["metadata"]["deletion_time"]
        for e in entries(tmp_path / "audit.log")
        if e["type"] == "response" and "metadata" in e["response"].get("data", {})
    }
    assert len(empty) == 1
    form = "hmac-sha256:" + hmac.new(b"salt", b"", hashlib.sha256).hexdigest()
    assert len(empty.pop()) == len(form)


def test_audit_off_leaves_the_marks_of_a_device_life(tmp_path: Path) -> None:
    """A device switched off keeps the request that did it, and comes back with a test line and a new salt."""
    attack = Attack("audit_off", "medium", 1.4)
    simulate(msgspec.structs.replace(SMALL, devices=2, attacks=(attack,)), tmp_path)
    one, two = entries(tmp_path / "audit.log"), entries(tmp_path / "audit-2.log")
    off = [(e["type"], e["request"]["operation"]) for e in one if e["request"]["path"].startswith("sys/audit/")]
    assert off == [("request", "delete"), ("request", "update"), ("response", "update")]
    assert len([e for e in two if e["request"]["path"] == "sys/audit/main"]) == 4
    assert len(one) < len(two)
    test = next(i for i, e in enumerate(one) if e["request"]["path"] == "sys/audit/test")
    before = {e["auth"]["accessor"] for e in one[:test] if "accessor" in e["auth"]}
    after = {e["auth"]["accessor"] for e in one[test:] if "accessor" in e["auth"]}
    assert not before & after


def test_cut_lines_are_on_the_other_device(tmp_path: Path) -> None:
    """What an edited file lost, the second device still has."""
    simulate(msgspec.structs.replace(SMALL, devices=2, attacks=(Attack("audit_cut", "easy"),)), tmp_path)
    label = json.loads((tmp_path / "labels.jsonl").read_bytes())
    one, two = ({e["request"]["id"] for e in entries(tmp_path / n)} for n in ("audit.log", "audit-2.log"))
    assert set(label["correlation_uids"]) <= two
    assert not set(label["correlation_uids"]) & one


def staged_lines(folder: Path, *staged: Attack) -> list[dict]:
    """What the log says of these attacks."""
    simulate(msgspec.structs.replace(SMALL, attacks=staged), folder)
    labels = [json.loads(line) for line in (folder / "labels.jsonl").read_bytes().splitlines()]
    theirs = {uid for label in labels for uid in label["correlation_uids"]}
    return [entry for entry in entries(folder / "audit.log") if entry["request"]["id"] in theirs]


def test_a_dead_token_is_one_token_that_nobody_is_named_for(tmp_path: Path) -> None:
    """Its client shows the same hash from one address every time, one that a log-in was given before."""
    tries = staged_lines(tmp_path, Attack("dead_token", "near"))
    asked = [entry["request"] for entry in tries if entry["request"]["path"] == "auth/token/renew-self"]
    assert len(asked) == 2 * 60
    assert len({(each["client_token"], each["remote_address"]) for each in asked}) == 1
    assert all("accessor" not in entry["auth"] and "permission denied" in entry["error"] for entry in tries[-120:])
    given = [entry["response"].get("auth", {}) for entry in entries(tmp_path / "audit.log") if "response" in entry]
    assert [auth["client_token"] for auth in given if auth].count(asked[0]["client_token"]) == 1


@pytest.mark.parametrize(("difficulty", "plain"), [("easy", True), ("hard", False)])
def test_a_password_stands_in_the_error_alone(tmp_path: Path, difficulty: str, plain: bool) -> None:
    """In an address or less plainly; the request's data and the answer's are hashed as ever."""
    tries = staged_lines(tmp_path, Attack("spilled_password", difficulty))
    told = [entry["error"] for entry in tries if entry["type"] == "response"]
    assert told
    assert all(("postgresql://" in error) == plain for error in told)
    (word,) = {re.search(r":([0-9a-f]{20})@", error)[1] for error in told}
    log = (tmp_path / "audit.log").read_text("utf-8")
    assert log.count(word) == len(told)
    hashes = {entry["response"]["data"]["error"] for entry in tries if entry["type"] == "response"}
    assert all(each.startswith("hmac-sha256:") for each in hashes)


@pytest.mark.parametrize("name", known(attacks))
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_labels_point_at_lines(name: str, difficulty: str) -> None:
    """Every attack at every difficulty has a principal, a span within the run, and requests of its own."""
    plot = lay(msgspec.structs.replace(SMALL, attacks=(Attack(name, difficulty),)))
    label = plot.incidents[0]
    assert label.principal in plot.world.estate.names
    assert SMALL.start[:10] <= label.begin[:10] <= label.end[:10] <= "2026-03-04"
    assert len(label.correlation_uids) == len(set(label.correlation_uids)) == len(plot.rows) > 0


@pytest.mark.parametrize("name", known(confusers))
def test_confusers_change_the_stream_and_are_labelled(name: str) -> None:
    """Each confuser alone makes the run differ from a plain one, and says when."""
    scenario = Scenario(days=8, preset="xs", seed=3, confusers=(name,))
    plain, changed = lay(msgspec.structs.replace(scenario, confusers=())), lay(scenario)
    assert {h.attack for h in changed.happenings} == {name}
    assert not plain.happenings
    world, other = changed.world, plain.world
    told = (world.boosts, world.troubles, world.clocks)
    same = told == (other.boosts, other.troubles, other.clocks)
    same &= world.extra.tobytes() == other.extra.tobytes()
    same &= world.sessions.table.tobytes() == other.sessions.table.tobytes()
    assert not same


@pytest.mark.parametrize(
    "bad",
    [{"preset": "xxl"}, {"days": 0}, {"start": "soon"}, {"attacks": (Attack("x", "brutal"),)}, {"seed": -1}],
)
def test_bad_scenarios_are_refused(bad: dict) -> None:
    """A scenario that makes no sense is a ConfigError naming what is allowed."""
    with pytest.raises(ConfigError):
        Scenario(**bad)


def test_unknown_attack_names_the_known_ones() -> None:
    """An attack that does not exist is refused with the list of those that do."""
    with pytest.raises(ConfigError, match="mass_read"):
        lay(Scenario(days=1, preset="xs", attacks=(Attack("time_travel"),)))


def test_sample_logs_are_what_their_recipe_makes(tmp_path: Path) -> None:
    """Making the samples again gives the committed bytes (compressed ones after unpacking), within two megabytes."""
    write_samples(tmp_path)
    here = ROOT / "sample_logs"
    made = {p.relative_to(tmp_path): p for p in tmp_path.rglob("*") if p.is_file()}
    kept = {p.relative_to(here): p for p in here.rglob("*") if p.is_file() and p.parent.parent.name == "vault"}
    assert set(made) == set(kept)
    for name, path in made.items():
        opened = gzip.decompress if name.suffix == ".gz" else bytes
        assert opened(path.read_bytes()) == opened(kept[name].read_bytes()), name
    assert sum(p.stat().st_size for p in kept.values()) < 2_000_000
    assert {p.parts[1] for p in made} == {s.name for s in STORIES}
