"""Names of rotated files."""

from __future__ import annotations

import pytest

from pipeline.sources.file_tail.rotation import group


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["d/main.log", "d/main.log.1", "d/main.log.2.gz", "d/main.log.10.gz"],
         {"d/main.log": ["d/main.log.10.gz", "d/main.log.2.gz", "d/main.log.1", "d/main.log"]}),
        (["main.log", "main.log-20260101.gz", "main.log-20260102"],
         {"main.log": ["main.log-20260101.gz", "main.log-20260102", "main.log"]}),
        (["main-2026-01-02.log", "main-2026-01-01.log.zst"],
         {"main.log": ["main-2026-01-01.log.zst", "main-2026-01-02.log"]}),
        (["audit.log", "audit-2026-05-18T02-17-33.123.log", "audit-2026-05-18T02-17-34.001.log.gz"],
         {"audit.log": ["audit-2026-05-18T02-17-33.123.log", "audit-2026-05-18T02-17-34.001.log.gz", "audit.log"]}),
        (["main.log.1.gz", "main.log.1"], {"main.log": ["main.log.1.gz", "main.log.1"]}),
        (["main.log.gz", "main.log"], {"main.log": ["main.log.gz", "main.log"]}),
        (["a/main.log.1", "b/main.log"], {"a/main.log": ["a/main.log.1"], "b/main.log": ["b/main.log"]}),
    ],
    ids=["numbered", "dateext", "dated alone in company", "lumberjack", "both forms", "packed", "two folders"],
)  # fmt: skip
def test_rotated_siblings_share_the_live_name_oldest_first(paths: list[str], expected: dict[str, list[str]]) -> None:
    """Siblings by any known convention make one stream named after the live file, in the order they were written."""
    assert group(paths) == expected


@pytest.mark.parametrize(
    "path",
    [
        "main-2026-01-01.log", "main.log-20260101", "main.log.gz", "host-10.0.0.5", "2026-01-01.log", "raw.txt",
        "111122223333_CloudTrail-Digest_eu-central-1_trail_eu-central-1_20171211T1505Z.json", "a.1234", "20260101",
    ],
)  # fmt: skip
def test_a_file_without_company_keeps_its_own_name(path: str) -> None:
    """A date, an address or a compression in a name does not make a rotated sibling by itself."""
    assert group([path]) == {path: [path]}


@pytest.mark.parametrize(
    ("paths", "stream"),
    [
        (["b/CloudTrail/eu-central-1/2026/03/01/111122223333_CloudTrail_eu-central-1_20260301T2355Z_x1.json.gz",
          "b/CloudTrail/eu-central-1/2026/03/02/111122223333_CloudTrail_eu-central-1_20260302T0000Z_a0.json.gz"],
         "b/CloudTrail/eu-central-1/111122223333_CloudTrail_eu-central-1.json"),
        (["111122223333_CloudTrail_us-gov-west-1_20260301T0005Z_ab.json"],
         "111122223333_CloudTrail_us-gov-west-1.json"),
        (["log/2026/03/01/23:00:00_23:59:59_S0.json", "log/2026/03/02/00:00:00_00:59:59_S0.json"], "log/S0.json"),
        (["r/y=2026/m=03/d=01/h=23/m=00/PT1H.json", "r/y=2026/m=03/d=02/h=00/m=00/PT1H.json"], "r/PT1H.json"),
    ],
    ids=["CloudTrail", "CloudTrail alone", "Cloud Logging", "Azure"],
)  # fmt: skip
def test_what_a_cloud_exports_by_the_hour_is_one_stream(paths: list[str], stream: str) -> None:
    """Files in folders of dates are one log, named without the dates, whether or not there are more of them yet."""
    assert group(reversed(paths)) == {stream: paths}


def test_a_rotated_file_given_alone_has_its_live_files_name() -> None:
    """`main.log.1` is evidently the log `main.log`, whether that exists or not."""
    assert group(["main.log.1"]) == {"main.log": ["main.log.1"]}


def test_known_streams_keep_their_files() -> None:
    """New company does not take a file out of the stream it was read under, nor does losing it."""
    first, second = "audit-2026-01-01.log", "audit-2026-01-02.log"
    assert group([first, second], streams=[first]) == {first: [first], second: [second]}
    assert group([second], streams=["audit.log"]) == {"audit.log": [second]}
