"""Programs of others that tests run: brought once into a cache, or the test says why they are not there."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import pytest

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "keytrail"


def absent(reason: str) -> NoReturn:
    """Skip, saying why; fail where components must be there (KEYTRAIL_REQUIRE_INTEGRATION=1)."""
    if os.environ.get("KEYTRAIL_REQUIRE_INTEGRATION") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def cached(name: str, bring: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, filled by `bring` once, also with several processes asking at the same time."""
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if not (folder / "complete").exists():
            bring(folder)
            (folder / "complete").touch()
    return folder


def from_pypi(requirement: str) -> Path:
    """A folder with a package, to be put on PYTHONPATH. Skips or fails when PyPI does not give it."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--upgrade"]

    def bring(folder: Path) -> None:
        run(*pip, "--target", str(folder), requirement)

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return _had(requirement, f"{requirement.replace('==', '-')}-py{version}", bring)


def from_debian(name: str, *packages: str) -> Path:
    """Debian packages, unpacked without installing: the folder that stands for /. Skips or fails when not to be had."""

    def bring(folder: Path) -> None:
        for program in ("apt-get", "dpkg-deb"):
            if shutil.which(program) is None:
                raise FileNotFoundError(f"{program} is not there: this is no Debian")
        try:
            run("apt-get", "download", "-q", *packages, where=folder)
        except subprocess.CalledProcessError:
            run("apt-get", "update", "-q")  # there may be no list of packages yet, or an old one
            run("apt-get", "download", "-q", *packages, where=folder)
        for file in sorted(folder.glob("*.deb")):
            run("dpkg-deb", "-x", str(file), str(folder))
            file.unlink()

    return _had(name, f"{name}-{_release()}-{platform.machine()}", bring)


def run(*command: str, where: Path | None = None) -> None:
    """Run to the end. Raises CalledProcessError with what was printed."""
    subprocess.run(command, check=True, capture_output=True, text=True, cwd=where)


def _had(what: str, name: str, bring: Callable[[Path], None]) -> Path:
    try:
        return cached(name, bring)
    except subprocess.CalledProcessError as error:
        absent(f"{what} cannot be had: {error.stderr.strip()[-300:]}")
    except FileNotFoundError as error:
        absent(f"{what} cannot be had: {error}")


def _release() -> str:
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "unknown")
    except OSError:
        return "unknown"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
