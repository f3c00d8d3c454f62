"""The composition root: from options and config to a running line. The only place that builds objects."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline import config as conf
from pipeline import decoders, edition, ledgers, named
from pipeline.baselines import Baselines
from pipeline.baselines import Config as BaselinesConfig
from pipeline.core import plugins
from pipeline.core.errors import ConfigError, NoInputError
from pipeline.core.metrics import Metrics
from pipeline.desk import Desk, DeskReader
from pipeline.enrich import Config as EnrichConfig
from pipeline.enrich import create as create_enricher
from pipeline.integrity import scrapes
from pipeline.integrity.canaries import Canaries
from pipeline.integrity.clocks import Clocks
from pipeline.integrity.continuity import Continuity
from pipeline.integrity.counters import Counters
from pipeline.integrity.coverage import Coverage
from pipeline.integrity.devices import Devices
from pipeline.integrity.order import Sequencer
from pipeline.integrity.pairing import Pairing
from pipeline.judging import JudgingLine
from pipeline.ledgers import MAIN
from pipeline.line import Line
from pipeline.parts import Parts
from pipeline.reader import Reader
from pipeline.reading import ReadingLine
from pipeline.routing import Config as RoutingConfig
from pipeline.routing import Router
from pipeline.sli import Config as SliConfig
from pipeline.sli import Slis
from pipeline.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.clock import Clock
    from pipeline.core.ports import Decoder, Detector, Source
    from pipeline.decoders import Format
    from pipeline.ledger.sealed import SealedLedger
    from pipeline.store import Lake


def version() -> str:
    """The installed version."""
    try:
        return importlib.metadata.version("keytrail")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says about one run."""

    paths: tuple[str, ...]
    lake: Path
    follow: bool = False
    batch_entries: int | None = None
    metrics_port: int | None = None
    input_format: str = "auto"
    signing_key: str | None = None
    max_memory: int | None = None  # bytes; None leaves the sizes to the config
    kafka: tuple[str, ...] = ()  # brokers, host:port; then `paths` are not read
    topics: tuple[str, ...] = ()
    group: str = ""
    worker: str = MAIN
    counters: tuple[str, ...] = ()  # files of Prometheus text with the store's audit counters
    listen: tuple[str, ...] = ()  # addresses that others send to; then `paths` are not read
    judge: bool = False  # nothing is read: what the workers of a group have passed on is judged

    @property
    def reads_only(self) -> bool:
        """One of several workers of a group: what it reads is judged elsewhere."""
        return bool(self.kafka) and self.worker != MAIN


def within(line: conf.Line, max_memory: int | None) -> conf.Line:
    """The line's config with what waits for a commit held to a quarter of the memory allowed."""
    if max_memory is None:
        return line
    return msgspec.structs.replace(line, commit_bytes=min(line.commit_bytes, max_memory // 4))


class App:
    """Makes what one run is of. `notes` are for the person who started it."""

    def __init__(self, options: RunOptions, settings: conf.Settings, clock: Clock) -> None:
        settings.allow(named.TABLES)
        self.options, self.settings, self.clock = options, settings, clock
        self.line_config = within(settings.table(conf.Line, "line"), options.max_memory)
        self.notes: list[str] = []

    @cached_property
    def metrics(self) -> Metrics:
        """Those of this run, served from when they are first asked for. Raises ConfigError for a port that is taken."""
        made = Metrics(version())
        if self.options.metrics_port is not None:
            try:
                made.serve(self.options.metrics_port)
            except OSError as error:
                raise ConfigError(f"--metrics-port {self.options.metrics_port}: {error.strerror}") from None
        return made

    def source(self, lake: Lake, positions: Sequence[Any]) -> Source:
        """What is read, from where the lake has got to. Raises ConfigError, NoInputError."""
        if self.options.judge:
            desk: Any = Desk(lake, follow=self.options.follow, wait_seconds=self.line_config.wait_seconds)
            return desk  # type: ignore[no-any-return]
        if self.options.worker == MAIN and lake.passed():
            raise ConfigError("workers have passed on what nobody has judged yet: run keytrail judge first")
        if self.options.kafka:
            return self._kafka()
        if self.options.listen:
            return self._listen(positions)
        known = {(p.stream, p.partition): p for p in positions}
        paths = self.options.paths
        if not paths:
            raise NoInputError("nothing to read: give a file, a folder or -")
        kind = "stdin" if paths == ("-",) else "file_tail"
        if "-" in paths and kind != "stdin":
            raise ConfigError("- (standard input) stands alone; give files in a run of their own")
        module = plugins.load("pipeline.sources", kind)
        config = self.settings.table(module.Config, "sources", kind)
        if self.options.max_memory and kind == "file_tail" and config.block_bytes is None:
            config = msgspec.structs.replace(
                config, block_bytes=max(1 << 20, min(1 << 25, self.options.max_memory // 64))
            )
        common: dict[str, Any] = {"follow": self.options.follow, "clock": self.clock}
        if kind == "stdin":
            return module.create(config, known, **common)  # type: ignore[no-any-return]
        return module.create(config, paths, known, **common)  # type: ignore[no-any-return]

    def _kafka(self) -> Source:
        options = self.options
        if not (options.topics and options.group):
            raise ConfigError("--kafka needs --topic and --group")
        module = plugins.load("pipeline.sources", "kafka")
        config = self.settings.table(module.Config, "sources", "kafka")
        if options.max_memory:
            config = module.within(config, options.max_memory)
        source: Source = module.create(
            config, options.kafka, options.topics, options.group, follow=options.follow, clock=self.clock
        )
        return source

    def _listen(self, positions: Sequence[Any]) -> Source:
        options = self.options
        module = plugins.load("pipeline.sources", "listen")
        config = self.settings.table(module.Config, "sources", "listen")
        if options.max_memory:
            held = max(1 << 16, min(config.buffer_bytes, options.max_memory // 16))
            config = msgspec.structs.replace(config, buffer_bytes=held)
        known = {(p.stream, p.partition): p for p in positions}
        return module.create(config, options.listen, known, options.lake / "spool", clock=self.clock)  # type: ignore[no-any-return]

    def reader(self, source: Any, line: Line, lake: Lake) -> Reader:
        """What takes batches out of it."""
        patience = self.line_config.idle_seconds if self.options.follow else 0.0
        if self.options.judge:
            return DeskReader(source, lake, line.recent, timeout=0.2, patience=patience)
        limit = self.options.batch_entries or self.line_config.batch_entries
        return Reader(
            source, self.decoder(), limit, timeout=0.2, recent=line.recent, resolve=line.parts.enricher.resolve,
            patience=patience, leaves=line.parts.ledger is not None,
            gather=self.line_config.gather_seconds if self.options.follow else 0.0,
        )  # fmt: skip

    def decoder(self) -> Decoder:
        """What makes columns of lines: of every format, each line by itself, or of the one that is asked for.

        Raises ConfigError.
        """
        wanted, known = self.options.input_format, plugins.kinds("pipeline.decoders")
        if wanted == "text":
            raise ConfigError("text logs hold no audit entries; keytrail scan PATH searches them for leaked secrets")
        if wanted == "auto":
            return decoders.together([self._format(kind) for kind in known])
        if wanted not in known:
            raise ConfigError(f"unknown input format {wanted!r}; there are: auto, {', '.join(known)}")
        return decoders.together([self._format(wanted)])

    def _format(self, kind: str) -> Format:
        module = plugins.load("pipeline.decoders", kind)
        config = self.settings.table(module.Config, "decoders", kind)
        header = self.settings.table(conf.Canary, "canary").header
        if header != conf.Canary().header and hasattr(config, "canary_header"):
            config = msgspec.structs.replace(config, canary_header=header)
        made: Format = module.format_of(config)
        return made

    def _ledger(self, lake: Lake, detectors: Sequence[Detector]) -> SealedLedger | None:
        config = self.settings.table(conf.LedgerConfig, "ledger")
        ledger = ledgers.begun(lake, config, self.options.signing_key, self.notes, clock=self.clock)
        if ledger is not None:
            configuration = named.configuration(self.settings, detectors, version())
            ledger.follow(self.options.worker, lake.owned(), configuration)
        return ledger

    def line(self, lake: Lake, source: Source, positions: Sequence[Any]) -> Line:
        """Every stage, as the lake's last commit left it. Raises ConfigError, StoreError."""
        line_config = self.line_config
        states, detection = lake.states(), self.settings.table(conf.Detection, "detection")
        edition.check(states, str(self.options.lake))
        detectors = named.detectors(self.settings)
        parts = Parts(
            enricher=create_enricher(self.settings.table(EnrichConfig, "enrich")),
            sequencer=Sequencer(disorder_us=int(line_config.disorder_seconds * 1e6)),
            pairing=Pairing(hold_us=int(line_config.copies_seconds * 1e6)),
            continuity=Continuity(),
            **self._completeness(),
            windows=Windows(detection.window_seconds, detection.look_seconds),
            detectors=detectors,
            baselines=Baselines(self.settings.table(BaselinesConfig, "baselines")),
            slis=Slis(self.settings.table(SliConfig, "slis")),
            router=Router(self.settings.table(RoutingConfig, "alerts")),
            lake=lake,
            # who judges gives no leaves; only a lake that one process began has a ledger of its own to go on with
            ledger=self._ledger(lake, detectors) if not self.options.judge or lake.ledger_head() else None,
            metrics=self.metrics,
            clock=self.clock,
        )
        line = self._made(parts, source, positions, lake)
        (line.resume if self.options.kafka else line.restore)(states)
        parts.pairing.lake_until_us = line.known_until_us
        parts.pairing.recall = lambda ids, low_us, high_us: line.recall(lake, ids, low_us, high_us)
        return line

    def _made(self, parts: Parts, source: Source, positions: Sequence[Any], lake: Lake) -> Line:
        if self.options.judge:
            return JudgingLine(parts, ())
        if self.options.reads_only:
            told = lambda: int(lake.meta("sequence") or 0)  # noqa: E731
            return ReadingLine(parts, (), source.every_stream, told, lake.epoch())  # type: ignore[attr-defined]
        return Line(parts, () if self.options.kafka else positions)

    def _completeness(self) -> dict[str, Any]:
        """The parts that say what is missing: devices compared, canaries, counters, and what follows for each hour."""
        known, canary = self.settings.table(conf.Integrity, "integrity"), self.settings.table(conf.Canary, "canary")
        key = None if canary.key is None else canary.key.resolve().encode()
        silence_us, disorder_us = int(canary.silence_seconds * 1e6), int(self.line_config.disorder_seconds * 1e6)
        whole = not (self.options.kafka or self.options.judge)  # a partition holds some of a device's lines
        counted = scrapes.read(self.options.counters)
        return {
            "clocks": Clocks(disorder_us),
            "devices": Devices(known.filtered),
            "canaries": Canaries(key, silence_us, disorder_us),
            "counters": Counters(counted, known.devices, known.filtered, in_order=whole),
            "coverage": Coverage(silence_us),
            "whole": whole,
        }
