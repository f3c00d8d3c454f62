"""The OCSF form of an alert, against a compiled subset of the 1.8.0 schema: nothing in it is of our own making."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.schema import SEVERITIES
from pipeline.sinks.ocsf import detection_finding
from tests.receivers.cases import find_cases
from tests.receivers.messages import HOSTILE, hostile, message

SCHEMA = json.loads(Path(__file__).with_name("ocsf_1_8_subset.json").read_text("utf-8"))
_TYPES = {"string": str, "integer": int, "boolean": bool, "any": object, "ip": str}


def faults(value: Any, name: str, place: str = "$") -> list[str]:
    """Where `value` breaks object `name` of the subset: unknown, missing, mistyped, outside its enum, unconstrained."""
    if not isinstance(value, dict):
        return [f"{place} is no object"]
    attributes = SCHEMA["objects"][name]["attributes"]
    found = [f"{place}.{key} is not in {name}" for key in value if key not in attributes]
    found += [
        f"{place}.{key} is missing" for key, rule in attributes.items()
        if rule["requirement"] == "required" and key not in value
    ]  # fmt: skip
    least = SCHEMA["objects"][name].get("constraints", {}).get("at_least_one")
    if least and not set(least) & set(value):
        found.append(f"{place} has none of {least}")
    for key, rule in attributes.items():
        if key in value:
            found += attribute_faults(value[key], rule, f"{place}.{key}")
    return found


def attribute_faults(value: Any, rule: dict[str, Any], place: str) -> list[str]:
    if rule.get("array"):
        if not isinstance(value, list):
            return [f"{place} is no array"]
        one = {key: part for key, part in rule.items() if key != "array"}
        return [fault for i, item in enumerate(value) for fault in attribute_faults(item, one, f"{place}[{i}]")]
    if "object" in rule:
        return faults(value, rule["object"], place)
    kind = _TYPES[rule["type"]]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return [f"{place} is {type(value).__name__}, not {rule['type']}"]
    if rule["type"] == "ip":
        ipaddress.ip_address(value)
    return [f"{place} is {value}, outside its enum"] if value not in rule.get("enum", [value]) else []


@pytest.mark.parametrize("state", ["open", "updated", "closed", "suppressed"])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_every_state_and_severity_is_valid(state: str, severity: str) -> None:
    """Each state at each severity is a valid Detection Finding with the right activity, status and severity."""
    event = detection_finding(message(revision=3, state=state, severity=severity))
    assert faults(event, SCHEMA["class"]) == []
    assert event["type_uid"] == 200400 + event["activity_id"]
    assert event["activity_id"] == {"open": 1, "closed": 3}.get(state, 2)
    assert event["status_id"] == {"suppressed": 3, "closed": 4}.get(state, 1)
    assert event["severity_id"] == SEVERITIES.index(severity) + 1
    assert event["is_alert"] is (state in ("open", "updated"))
    assert event["metadata"]["sequence"] == 3


@pytest.mark.parametrize("case", find_cases(), ids=lambda case: f"{case.kind}-{case.name}")
def test_every_case_is_valid(case: Any) -> None:
    """What stands in the case files is valid too."""
    assert faults(detection_finding(case.message), SCHEMA["class"]) == []


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_valid_and_bounded(text: str) -> None:
    """No text breaks the form, and none of any length makes an event longer than 100 KiB."""
    event = detection_finding(hostile(text))
    assert faults(event, SCHEMA["class"]) == []
    assert len(json.dumps(event)) < 100_000
    assert event["metadata"].get("is_truncated", False) is (len(text) > 2000)


def test_a_bare_alert_is_valid() -> None:
    """An alert of which next to nothing is known is still a valid event, without empty parts."""
    sent = message()
    bare = dict.fromkeys(sent.alert)
    event = detection_finding(type(sent)(sent.event_id, sent.alert_uid, 1, bare))
    assert faults(event, SCHEMA["class"]) == []
    assert not {"resources", "evidences", "observables", "remediation"} & set(event)


def test_says_what_an_analyst_asks() -> None:
    """What, to what, by whom, from where, figures, how sure, technique, evidence, next step are at their places."""
    event = detection_finding(message(evidence=["e1", "e2"]))
    info = event["finding_info"]
    assert info["uid"] == message().alert_uid
    assert event["metadata"]["uid"] == message().event_id
    assert info["attacks"] == [{"technique": {"uid": "T1555"}, "sub_technique": {"uid": "T1555.006"}, "version": "18"}]
    assert [related["uid"] for related in info["related_events"]] == ["e1", "e2"]
    assert event["resources"][0]["uid"] == "kv/app/db"
    assert event["evidences"][0]["actor"]["user"]["name"] == "approle/ci"
    assert event["evidences"][0]["src_endpoint"] == {"ip": "10.1.2.3"}
    assert event["evidences"][0]["data"] == {"observed": "41", "expected": "3.2"}
    assert (event["confidence_score"], event["confidence_id"]) == (90, 3)
    assert event["remediation"]["desc"] == "Ask the owner of approle/ci."
    assert (event["start_time"], event["time"]) == (1772438400123, 1772438700123)


@pytest.mark.parametrize(("family", "type_id"), [("invariant", 1), ("rate", 3), ("multivariate", 4), ("", 1)])
def test_the_analytic_is_named_for_what_it_is(family: str, type_id: int) -> None:
    """Rules, statistics and learned models are told apart."""
    event = detection_finding(message(families=[family] if family else []))
    assert event["finding_info"]["analytic"]["type_id"] == type_id


@pytest.mark.parametrize("address", ["fe80::1%\n|=", "10.0.0.1 ", "999.1.1.1", "host.example"])
def test_what_is_no_address_is_not_called_one(address: str) -> None:
    """Only an IP address gets into `ip`; anything else is a name."""
    assert detection_finding(message(client_ip=address))["evidences"][0]["src_endpoint"] == {"name": address}


def test_the_check_itself_finds_faults() -> None:
    """The validator complains of what is unknown, missing, mistyped, outside an enum and unconstrained."""
    event = detection_finding(message())
    del event["time"]
    event |= {"severity_id": 7, "count": "3", "made_up": 1, "evidences": [{}]}
    assert len(faults(event, SCHEMA["class"])) == 5
