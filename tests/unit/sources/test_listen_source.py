"""Listening on real sockets: whole lines from many senders, each once, in bounded memory, whatever they do."""

from __future__ import annotations

import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError, SourceError
from pipeline.core.model import Position, RawBatch
from pipeline.sources.listen import Config, Listen, create
from tests.integration.kafka.broker import free_port
from tests.receivers.syslog import certificate

SMALL = {"max_record_bytes": 4096, "file_bytes": 8192, "spool_bytes": 1 << 18}


class Heard:
    """A source under test, what it has brought, and a store's positions."""

    def __init__(self, source: Listen) -> None:
        self.source = source
        self.batches: list[RawBatch] = []
        self.positions: dict[tuple[str, str], Position] = {}

    def poll(self, *, commit: bool = True) -> bool:
        taken = self.source.poll_all(None, 0.05, {}) or ()
        for batch in taken:
            self.batches.append(batch)
            if len(batch):
                at = Position(batch.stream, batch.partition, int(batch.after[-1]), dict(batch.state))
                self.positions[at.stream, at.partition] = at
        if commit:
            self.source.commit([*self.positions.values()])
        return bool(taken)

    def until(self, wanted: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not wanted():
            assert time.monotonic() < deadline, "it did not come"
            self.poll()

    @property
    def lines(self) -> list[bytes]:
        return [batch.record(row) for batch in self.batches for row in range(len(batch))]

    def of(self, stream: str) -> Any:
        return self.source.heard()[stream]


@contextmanager
def listening(folder: Path, *addresses: str, known: Heard | None = None, **config: Any) -> Iterator[Heard]:
    positions = known.positions if known else {}
    heard = Heard(create(Config(**config), addresses, positions, folder / "spool", clock=time.time_ns))
    try:
        yield heard
    finally:
        heard.source.close()


def tcp() -> tuple[str, int]:
    port = free_port()
    return f"tcp://127.0.0.1:{port}", port


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def hung_up(sock: socket.socket) -> bool:
    sock.settimeout(20)
    try:
        return sock.recv(1) == b""
    except (ConnectionResetError, ssl.SSLError):
        return True


def goes_through(sock: socket.socket, data: bytes) -> bool:
    try:
        sock.sendall(data)
    except OSError:
        return False
    return True


def test_many_senders_mix_by_whole_lines(tmp_path: Path) -> None:
    """Connections at once, in random pieces: every line comes once, whole, in its sender's order."""
    name, port = tcp()
    sent = {n: [b"%d-%d-" % (n, line) + b"x" * (line * 37 % 500) for line in range(150)] for n in range(8)}

    def send(n: int) -> None:
        dice, data = random.Random(n), b"\n".join(sent[n]) + b"\n"
        with connected(port) as sock:
            while data:
                at = dice.randrange(1, 3000)
                sock.sendall(data[:at])
                data = data[at:]

    with listening(tmp_path, name) as heard:
        threads = [threading.Thread(target=send, args=(n,)) for n in sent]
        for thread in threads:
            thread.start()
        heard.until(lambda: len(heard.lines) >= 8 * 150)
        for thread in threads:
            thread.join()
    for n, lines in sent.items():
        assert [line for line in heard.lines if line.startswith(b"%d-" % n)] == lines
    assert {batch.stream for batch in heard.batches} == {name}
    assert all(batch.alone for batch in heard.batches)


def test_what_is_handed_out_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch comes only when its spool was synced that far: no commit knows more than a power cut leaves."""
    name, port = tcp()
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (fsync(fd), synced.append(os.fstat(fd).st_size)))
    with listening(tmp_path, name, sync_seconds=1000) as heard, connected(port) as sock:
        for n in range(20):
            sock.sendall(b"%04d\n" % n * 100)
            heard.until(lambda n=n: len(heard.lines) == 100 * (n + 1))  # type: ignore[misc]
            assert max(synced) >= heard.batches[-1].after[-1] == 500 * (n + 1)


def test_what_a_sender_left_half(tmp_path: Path) -> None:
    """A connection that ends within a line leaves a line of its own; the other one's goes on untouched."""
    name, port = tcp()
    with listening(tmp_path, name) as heard, connected(port) as stays:
        stays.sendall(b"one, begun")
        with connected(port) as goes:
            goes.sendall(b"whole\nhalf")
        heard.until(lambda: len(heard.lines) == 2)
        stays.sendall(b" and ended\n")
        heard.until(lambda: len(heard.lines) == 3)
    assert heard.lines == [b"whole", b"half", b"one, begun and ended"]


def test_a_stop_takes_in_what_the_kernel_holds(tmp_path: Path) -> None:
    """What a sender takes for delivered is in the next run, under the same name, at the place behind the last."""
    name, port = tcp()
    with listening(tmp_path, name) as first, connected(port) as sock:
        sock.sendall(b"one\n")
        first.until(lambda: len(first.lines) == 1)
        sock.sendall(b"two\nhalf")
    with listening(tmp_path, name, known=first) as second:
        second.until(lambda: len(second.lines) == 2)
    assert second.lines == [b"two", b"half"]
    assert [batch.positions.tolist() for batch in second.batches] == [[4, 8]]


def test_a_stop_waits_for_nobody(tmp_path: Path) -> None:
    """Somebody who sends on and on does not keep a run from ending."""
    name, port = tcp()
    with listening(tmp_path, name) as heard, connected(port) as sock:

        def send() -> None:
            while goes_through(sock, b"x" * 999 + b"\n"):
                pass

        sender = threading.Thread(target=send)
        sender.start()
        heard.until(lambda: len(heard.lines) > 0)
        begun = time.monotonic()
        heard.source.close()
        assert time.monotonic() - begun < 10
        sender.join()


def test_a_full_spool_makes_senders_wait(tmp_path: Path) -> None:
    """What is not committed fills the spool up to its bound and no further; a commit lets the senders go on."""
    name = f"unix://{tmp_path}/s"  # the kernel holds less of what is under way than it does of TCP
    lines = [b"%07d" % n + b"x" * 500 for n in range(4000)]
    with listening(tmp_path, name, **SMALL) as heard, socket.socket(socket.AF_UNIX) as sock:
        sock.connect(f"{tmp_path}/s")
        sender = threading.Thread(target=sock.sendall, args=(b"\n".join(lines) + b"\n",))
        sender.start()
        deadline = time.monotonic() + 20
        while not heard.of(name).full:
            assert time.monotonic() < deadline
            heard.poll(commit=False)
        time.sleep(0.5)
        assert sender.is_alive()
        assert sum(path.stat().st_size for path in tmp_path.glob("spool/*/*.log")) <= SMALL["spool_bytes"]
        heard.until(lambda: len(heard.lines) >= len(lines))
        sender.join()
        assert not heard.of(name).full
    assert heard.lines == lines
    assert heard.of(name).spool_bytes == 0


def test_datagrams_without_room_are_counted_and_told(tmp_path: Path) -> None:
    """A datagram is one line at least; what a full spool could not take is a gap with its number."""
    port = free_port()
    name = f"udp://127.0.0.1:{port}"
    with listening(tmp_path, name, **SMALL) as heard, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.send(b'{"a":1}')
        sock.send(b"b\nc\n")
        heard.until(lambda: len(heard.lines) == 3)
        for n in range(400):
            sock.send(b"%03d" % n + b"x" * 997)
            time.sleep(0.0005)
        heard.until(lambda: any(batch.fault for batch in heard.batches))
        # what the kernel dropped is told with the next datagram
        heard.until(lambda: sock.send(b"") == 0 and len(heard.lines) - 3 + heard.of(name).dropped >= 400)
        heard.until(lambda: sock.send(b"last") > 0 and heard.lines[-1] == b"last")
    lost = [batch.lost for batch in heard.batches if batch.fault == "gap" and batch.lost is not None]
    assert heard.lines[:3] == [b'{"a":1}', b"b", b"c"]
    assert 0 < lost[-1].count <= heard.of(name).dropped
    assert lost[-1].resume == lost[-1].first


def test_an_unfinished_line_has_its_time(tmp_path: Path) -> None:
    """However steadily bytes drip in, a line without an end is hung up on; who has nothing to say is left alone."""
    name, port = tcp()
    with listening(tmp_path, name, line_seconds=0.5) as heard, connected(port) as slow, connected(port) as silent:
        begun = time.monotonic()
        heard.until(lambda: not goes_through(slow, b"x"))
        assert time.monotonic() - begun < 5
        heard.until(lambda: len(heard.lines) == 1)
        silent.sendall(b"after a while\n")
        heard.until(lambda: len(heard.lines) == 2)
    assert set(heard.lines[0]) == {ord("x")}
    assert heard.lines[1] == b"after a while"


def test_places_are_for_those_who_send(tmp_path: Path) -> None:
    """At the cap, the first to come of those who never sent a line makes room; where all have, a new one is refused."""
    name, port = tcp()
    with listening(tmp_path, name, connections=2) as heard:
        with connected(port) as device, connected(port) as idle:
            device.sendall(b"one\n")
            heard.until(lambda: heard.lines == [b"one"])
            with connected(port) as second:
                second.sendall(b"two\n")
                heard.until(lambda: len(heard.lines) == 2)
                assert hung_up(idle)
                with connected(port) as third:
                    assert hung_up(third)
                device.sendall(b"three\n")
                heard.until(lambda: len(heard.lines) == 3)
        assert heard.of(name).refused == 2
        assert heard.of(name).accepted == 3
        heard.until(lambda: heard.of(name).connections == 0)


def test_no_line_end_ever_and_binary_garbage(tmp_path: Path) -> None:
    """Of a line past the cap the beginning is kept, with the size of all of it; memory over all senders is bounded."""
    name, port = tcp()
    room = 20 * 65_536  # for the beginnings of all of them: what is shortened is longer than that, however it is cut
    config = {**SMALL, "max_record_bytes": 1 << 20, "spool_bytes": 1 << 22, "buffer_bytes": room}
    with listening(tmp_path, name, **config) as heard:
        senders = [connected(port) for _ in range(20)]
        for n, sock in enumerate(senders):
            sock.sendall(bytes([n + 20]) * 400_000)
        heard.until(lambda: heard.of(name).received_bytes == 20 * 400_000)
        (listener,) = heard.source._receiver.listeners
        heard.until(lambda: sum(connection.held for connection in [*listener.connections]) <= room)
        for sock in senders:
            sock.close()
        heard.until(lambda: len(heard.lines) == 20)
    sizes = {one.size for batch in heard.batches for one in batch.oversize}
    assert sizes == {400_000}
    assert {len(line) for line in heard.lines} == {65_536}


def test_a_unix_socket_and_who_may_use_it(tmp_path: Path) -> None:
    """It is its user's alone unless told otherwise; one of a dead process is taken over, nothing else is."""
    path = tmp_path / "audit.sock"
    name = f"unix://{path}"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening(tmp_path, name) as heard:
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(ConfigError, match="in use"), listening(tmp_path / "other", name):
            pass
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(b"one\n")
            heard.until(lambda: heard.lines == [b"one"])
    assert not path.exists()
    with listening(tmp_path, name, unix_mode="0660"):
        assert path.stat().st_mode & 0o777 == 0o660
    path.write_text("mine")
    with pytest.raises(ConfigError, match="something else"), listening(tmp_path, name):
        pass
    assert path.read_text() == "mine"


def test_what_cannot_be_had(tmp_path: Path) -> None:
    """A port that is taken, a spool that another process has, and TLS without a certificate end it with a reason."""
    name, port = tcp()
    with listening(tmp_path, name), pytest.raises(ConfigError, match="in use"), listening(tmp_path / "b", name):
        pass
    with listening(tmp_path, name):  # the port was given back, and so was the spool
        pass
    with pytest.raises(ConfigError, match="tls_cert"), listening(tmp_path, f"syslog+tls://:{port}"):
        pass
    with pytest.raises(ConfigError, match="cannot be read"), listening(
        tmp_path, f"syslog+tls://:{port}", tls_cert=str(tmp_path / "none.pem")
    ):  # fmt: skip
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="spool"), listening(tmp_path / "file", name):
        pass


def test_strangers_are_turned_away(tmp_path: Path) -> None:
    """With `peers`, what comes from elsewhere is hung up on or passed over, and counted."""
    name, port = tcp()
    udp = f"udp://127.0.0.1:{port}"
    with listening(tmp_path, name, udp, peers=("10.0.0.0/8", "::/0")) as heard:
        with connected(port) as sock:
            assert hung_up(sock)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", ("127.0.0.1", port))
            heard.until(lambda: heard.of(udp).refused == 1)
        assert heard.of(name).refused == 1
        assert not heard.lines


def client(pem: Path, *, own: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pem))
    context.check_hostname = False
    if own is not None:
        context.load_cert_chain(own)
    return context


def test_syslog_over_tls(tmp_path: Path) -> None:
    """Counted messages over TLS; who speaks no TLS, or has no certificate where one is wanted, gets nothing in."""
    pem, port = certificate(tmp_path), free_port()
    name = f"syslog+tls://127.0.0.1:{port}"
    message = b"<134>1 - host vault 7 - - " + b'{"n":1}' * 8000
    frame = b"%d %s" % (len(message), message)
    with listening(tmp_path, name, tls_cert=str(pem), tls_client_ca=str(pem)) as heard:
        with connected(port) as plain:
            plain.sendall(b"<13>plain text\n" * 100)
            assert hung_up(plain)
        with client(pem).wrap_socket(connected(port)) as nobody:
            goes_through(nobody, frame)
            assert hung_up(nobody)
        with connected(port) as silent, client(pem, own=pem).wrap_socket(connected(port)) as sock:
            for at in range(0, len(frame), 9000):
                sock.sendall(frame[at : at + 9000])
            sock.sendall(frame * 5)
            sock.sendall(frame[:-5])
            sock.unwrap()
            silent.close()
        heard.until(lambda: len(heard.lines) == 7)
    assert heard.lines == [message] * 6 + [message[:-5]]


def test_several_streams_the_one_behind_first(tmp_path: Path) -> None:
    """The stream furthest behind in event time comes first, and is read to its end before another."""
    ports = sorted(free_port() for _ in range(2))
    names = [f"tcp://127.0.0.1:{port}" for port in ports]
    with listening(tmp_path, *names) as heard:
        for port in ports:
            with connected(port) as sock:
                sock.sendall(b"a\nb\nc\n")
        time.sleep(0.3)
        progress = {names[0]: 9, names[1]: 5}
        assert heard.source.streams() == {names[0]: False, names[1]: False}
        first = heard.source.poll(2, 1.0, progress)
        second = heard.source.poll_all(2, 1.0, progress)
        assert first is not None
        assert second is not None
        assert [(b.stream, len(b)) for b in (first, *second)] == [(names[1], 2), (names[1], 1), (names[0], 1)]
        assert heard.source.streams() == {names[0]: False, names[1]: True}
        heard.source.rewind(second[1], 0)
        again = heard.source.poll(None, 1.0, progress)
        assert again is not None
        assert [again.record(row) for row in range(len(again))] == [b"a", b"b", b"c"]
