"""A real Apache Kafka broker on loopback, in KRaft mode, from the jars of Maven Central.

`KEYTRAIL_TEST_KAFKA=host:port` uses one that runs already. Without `mvn` and `java` there is none: `missing` says why.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "keytrail" / "kafka-4.1.1"
START_SECONDS: Final = 60
OUTSIDE: Final = "KEYTRAIL_TEST_KAFKA names a broker of somebody else, which is not killed"
CREDENTIALS: Final = {"reader": "reader-secret"}  # for the listener SECURE
SECURE: Final = "SECURE"
_MODULES: Final = {
    "plain": "plain.PlainLoginModule required "
    + " ".join(f'user_{name}="{word}"' for name, word in CREDENTIALS.items()),
    "scram-sha-512": "scram.ScramLoginModule required",
    "oauthbearer": 'oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker"',
}

_SERVER: Final = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map={protocols}
inter.broker.listener.name=PLAIN
controller.listener.names=CONTROLLER
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=500
log.initial.task.delay.ms=500
file.delete.delay.ms=500
num.network.threads=2
num.io.threads=4
{more}
"""


def missing() -> str:
    """Why no broker can be had, "" when one can."""
    if os.environ.get("KEYTRAIL_TEST_KAFKA"):
        return ""
    absent = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if absent and not (shutil.which("java") and any(CACHE.glob("kafka_*.jar"))):
        return f"no Kafka broker: {' and '.join(absent)} not found, and KEYTRAIL_TEST_KAFKA is not set"
    try:
        jars()
    except subprocess.CalledProcessError as error:
        return f"no Kafka broker: mvn could not bring its jars: {error.stderr.strip()[-300:]}"
    return ""


def jars() -> Path:
    """The folder of the broker's jars, filled once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "complete").exists():
            goal = ["dependency:copy-dependencies", f"-DoutputDirectory={CACHE}"]
            subprocess.run(
                ["mvn", "-q", "-B", "-f", HERE / "pom.xml", *goal],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            (CACHE / "complete").touch()
    return CACHE


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Broker:
    """One broker with its data in `folder`; `extra` are listeners by name, each with its protocol.

    `advertised` are ports that clients of a listener are told in place of its own.
    """

    folder: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    advertised: Mapping[str, int] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """host:port of the plain listener."""
        return self.at("PLAIN")

    def at(self, listener: str) -> str:
        """host:port of a listener."""
        return f"127.0.0.1:{self.ports[listener]}"

    def start(self) -> None:
        """Start, or start again on the same data and ports; returns when it answers."""
        if not self.ports:
            self._prepare()
        log = (self.folder / "broker.log").open("ab")
        with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []  # however we end
        self.process = subprocess.Popen(
            [*with_us, *self._java("-Xmx512m"), "kafka.Kafka", str(self.folder / "server.properties")],
            stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
        )  # fmt: skip
        log.close()
        self._wait()

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """A signal to it, to pause it and wake it again."""
        if self.process is not None:
            self.process.send_signal(number)

    def _end(self, number: int) -> None:
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _java(self, *options: str) -> list[str]:
        return [
            "java", *options, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",  # it does not live long
            "-Dlog4j2.level=WARN", "-cp", f"{jars()}/*",
        ]  # fmt: skip

    def _prepare(self) -> None:
        names = ["PLAIN", *self.extra, "CONTROLLER"]
        self.ports = {name: free_port() for name in names}
        listeners = {name: f"{name}://127.0.0.1:{port}" for name, port in self.ports.items()}
        told = {name: f"{name}://127.0.0.1:{port}" for name, port in {**self.ports, **self.advertised}.items()}
        protocols = {"PLAIN": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **self.extra}
        text = _SERVER.format(
            controller=self.ports["CONTROLLER"],
            listeners=",".join(listeners.values()),
            advertised=",".join(text for name, text in told.items() if name != "CONTROLLER"),
            protocols=",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            data=self.folder / "data",
            more="\n".join(f"{key}={value}" for key, value in self.settings.items()),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "server.properties").write_text(text)
        users = [f"--add-scram=SCRAM-SHA-512=[name={name},password={word}]" for name, word in CREDENTIALS.items()]
        cluster = uuid.uuid4().hex[:22]
        subprocess.run(
            [*self._java("-Xmx64m"), "kafka.tools.StorageTool", "format", "-t", cluster,
             "-c", str(self.folder / "server.properties"), *(users if self.extra else ())],
            check=True, capture_output=True, cwd=self.folder,
        )  # fmt: skip

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                break
            if all(_answers(self.ports[name]) for name in ("PLAIN", *self.extra)):
                return
            time.sleep(0.1)
        tail = (self.folder / "broker.log").read_text(errors="replace")[-2000:]
        self._end(signal.SIGKILL)
        raise RuntimeError(f"the broker did not start:\n{tail}")


@dataclass
class Running(Broker):
    """A broker that somebody else runs."""

    outside: str = ""

    @property
    def address(self) -> str:
        return self.outside

    def start(self) -> None:
        """It runs already."""

    def stop(self) -> None:
        """It goes on."""

    def kill(self) -> None:
        """It is not ours to kill. Raises RuntimeError: a test that goes on would have shown nothing."""
        raise RuntimeError(OUTSIDE)

    def send(self, number: signal.Signals) -> None:
        """It is not ours to pause. Raises RuntimeError."""
        raise RuntimeError(f"{OUTSIDE} (signal {number.name})")


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


def secured(keys: Path) -> dict[str, Mapping[str, str]]:
    """Parts of a broker with one more listener: TLS with what is in `keys`, and SASL by `CREDENTIALS` or any token."""
    listener = f"listener.name.{SECURE.lower()}"
    modules = {f"{listener}.{name}.sasl.jaas.config": _login(text) for name, text in _MODULES.items()}
    settings = {
        f"{listener}.sasl.enabled.mechanisms": ",".join(_MODULES).upper(),
        f"{listener}.ssl.keystore.type": "PEM",
        f"{listener}.ssl.keystore.location": str(keys),
        **modules,
    }
    return {"extra": {SECURE: "SASL_SSL"}, "settings": settings}


def _login(module: str) -> str:
    return f"org.apache.kafka.common.security.{module};"


def outside() -> bool:
    """Whether the broker is somebody else's."""
    return bool(os.environ.get("KEYTRAIL_TEST_KAFKA"))


@contextlib.contextmanager
def running(folder: Path, **parts: Mapping[str, Any]) -> Iterator[Broker]:
    """A broker for the time of a with-block."""
    outside = os.environ.get("KEYTRAIL_TEST_KAFKA", "")
    broker = Running(folder, outside=outside) if outside and not parts else Broker(folder, **parts)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
