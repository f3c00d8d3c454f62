"""Whatever text an alert holds, each sink's wire form stays one message that means what was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import plugins
from pipeline.core.model import Message
from pipeline.core.text import plain, visible
from tests.receivers.cases import KINDS, ROOM, find_cases
from tests.receivers.messages import HOSTILE, LISTS, TEXTS, message
from tests.receivers.syslog import parse, unframe
from tests.receivers.wire import PARSERS, cef

CONFIGS = {(case.kind, case.name.rpartition("_")[2]): case.config for case in find_cases()}
hostile_text = st.one_of(
    st.sampled_from(HOSTILE[:-1]),
    st.text(st.characters(codec=None), max_size=60),
    st.text(st.sampled_from("\n\r|=\\\"]'[{},: \x00\x1b<>é\u202e"), max_size=40),
)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    texts = {name: draw(hostile_text) for name in TEXTS}
    lists = {name: draw(st.lists(hostile_text, max_size=3)) for name in LISTS}
    return message(draw(st.integers(0, 99)), draw(st.integers(1, 9)), **texts, **lists)


@pytest.mark.parametrize(("kind", "variant"), CONFIGS)
@settings(deadline=None)
@given(sent=messages())
def test_one_message_stays_one(kind: str, variant: str, sent: Message) -> None:
    """The format's own grammar finds exactly this event id in the bytes, and no acting character."""
    data = plugins.load(ROOM, kind).wire(sent, CONFIGS[kind, variant])
    assert PARSERS[kind](data) == [sent.event_id]


@pytest.mark.parametrize("kind", ["kafka", "webhook", "ocsf_jsonl"])
@settings(deadline=None)
@given(sent=messages())
def test_json_gives_back_what_was_sent(kind: str, sent: Message) -> None:
    """Texts come back from JSON as they were, but for halves of surrogate pairs."""
    event: dict[str, Any] = json.loads(plugins.load(ROOM, kind).wire(sent, CONFIGS[kind, "opened"]))
    assert event.get("message", "") == plain(sent.alert["message"])
    if sent.alert["secret"]:
        assert event["resources"][0]["uid"] == plain(sent.alert["secret"])


@settings(deadline=None)
@given(sent=messages())
def test_cef_gives_back_what_was_sent(sent: Message) -> None:
    """Extension values come back from CEF with acting characters spelled out and everything else as it was."""
    (frame,), left = unframe(plugins.load(ROOM, "syslog").wire(sent, CONFIGS["syslog", "cef"]))
    assert left == b""
    fields = cef(parse(frame).body.decode())
    for key, name in (("suser", "principal"), ("msg", "message")):
        if sent.alert[name]:
            assert visible(fields[key]) == visible(sent.alert[name])


long_text = st.builds(
    lambda text, times: text * times,
    st.sampled_from(["😀", "\u200d", "é|", "\\", '"', "=", "\x1b", "\U000e0041", "a b"]),
    st.integers(0, 2500),
)


@pytest.mark.parametrize("max_bytes", [2048, 8192])
@pytest.mark.parametrize("body", ["cef", "ocsf"])
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_a_syslog_frame_fits_whatever_it_holds(body: str, max_bytes: int, data: st.DataObject) -> None:
    """No text, however many bytes its characters take, makes a frame longer than is allowed, or breaks its form."""
    texts = {name: data.draw(long_text | st.sampled_from(HOSTILE)) for name in TEXTS}
    sent = message(**texts, **{name: [data.draw(long_text)] * 2 for name in (*LISTS, "evidence")}, state="closed")
    module = plugins.load(ROOM, "syslog")
    wire = module.wire(sent, module.Config(address="h:1", body=body, max_bytes=max_bytes, hostname="h" * 300))
    assert len(wire.partition(b" ")[2]) <= max_bytes
    assert PARSERS["syslog"](wire) == [sent.event_id]


def test_every_kind_is_covered() -> None:
    """No sink is without a wire form under test."""
    assert {kind for kind, _ in CONFIGS} == set(KINDS)
