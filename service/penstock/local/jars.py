"""Which jars is Kafka made of, and where are they on this machine?

`kafka.lock.toml` names every jar with its SHA-256. Jars are fetched once into the user's cache
and their sums are checked before every start; nothing is resolved at run time.
`python -m penstock.local.jars` writes the lock anew.
"""

import asyncio
import hashlib
import os
import tempfile
import tomllib
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.errors import ConfigurationError

LOCK = Path(__file__).with_name("kafka.lock.toml")

# Kafka brings slf4j without a backend: without the second one its log would be empty.
COORDINATES = ("org.apache.kafka:kafka_2.13:4.4.0", "org.slf4j:slf4j-simple:1.7.36")

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and of how many."""


@dataclass(frozen=True)
class Jar:
    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "penstock"


def locked(lock: Path = LOCK) -> list[Jar]:
    entries = tomllib.loads(lock.read_text(encoding="utf-8"))["dependencies"]
    return [Jar(e["groupId"], e["artifactId"], e["version"], e["sha256"]) for e in entries]


async def class_path(progress: Progress | None = None, lock: Path = LOCK) -> str:
    """Every jar of the lock, fetched where it is missing, each with the right SHA-256.

    Raises:
        ConfigurationError: a jar cannot be had, or is not the one in the lock.
    """
    folder = cache_dir() / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    jars = locked(lock)
    pool = ThreadPoolExecutor(8, thread_name_prefix="jars")
    try:
        await _complete(folder, jars, pool, progress or _silent)
    finally:
        # Not waiting: a download under way must not delay Ctrl-C.
        pool.shutdown(wait=False, cancel_futures=True)
    return os.pathsep.join(str(folder / jar.file_name) for jar in jars)


async def _complete(folder: Path, jars: list[Jar], pool: Executor, progress: Progress) -> None:
    loop = asyncio.get_running_loop()
    present = await asyncio.gather(
        *(loop.run_in_executor(pool, _is_sound, folder / jar.file_name, jar) for jar in jars)
    )
    missing = [jar for jar, sound in zip(jars, present, strict=True) if not sound]
    if not missing:
        return
    done = len(jars) - len(missing)
    progress("Downloading Kafka", done, len(jars))
    downloads = [loop.run_in_executor(pool, _fetch, jar, folder) for jar in missing]
    try:
        for download in asyncio.as_completed(downloads):
            await download
            done += 1
            progress("Downloading Kafka", done, len(jars))
    except BaseException:
        for remaining in downloads:
            remaining.cancel()
        # What the others raised is the same news again; asyncio complains about it if unread.
        await asyncio.gather(*downloads, return_exceptions=True)
        raise


def _is_sound(path: Path, jar: Jar) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


def _fetch(jar: Jar, folder: Path) -> None:
    """Downloads aside and moves into place, so no other process ever sees half a jar."""
    # Here, not above: a start from the cache shall not pay for the import.
    from jgo.maven import MavenContext  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as aside:
        maven = MavenContext(repo_cache=Path(aside), remote_repos=_repositories())
        component = maven.project(jar.group, jar.artifact).at_version(jar.version)
        try:
            path = Path(component.artifact().resolve())
        except (OSError, RuntimeError) as error:
            raise ConfigurationError(
                f"Kafka's jars cannot be downloaded ({type(error).__name__} at {jar.coordinate}):"
                " the first start needs the network, later ones do not."
                " Or name a running Kafka with --bootstrap-server."
            ) from error
        if not _is_sound(path, jar):
            raise ConfigurationError(
                f"{jar.coordinate} was downloaded with another SHA-256 than the lock's"
                f" {jar.sha256}: it is refused."
                " Check the mirror, or name a running Kafka with --bootstrap-server."
            )
        path.replace(folder / jar.file_name)


def _repositories() -> dict[str, str] | None:
    """The mirrors in the user's jgo settings come first; None is Maven Central."""
    from jgo.config import GlobalSettings  # noqa: PLC0415 (as in _fetch)
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 (as in _fetch)

    mirrors: dict[str, str] = GlobalSettings.load().repositories
    return mirrors if "central" in mirrors else {**mirrors, "central": MAVEN_CENTRAL_URL}


def _silent(what: str, done: int, total: int) -> None:
    pass


def renew(lock: Path = LOCK) -> None:
    """Resolves the coordinates and writes the lock."""
    from jgo.env import LockFile  # noqa: PLC0415 (as in _fetch)
    from jgo.maven import MavenContext  # noqa: PLC0415 (as in _fetch)
    from jgo.parse import Coordinate  # noqa: PLC0415 (as in _fetch)

    with tempfile.TemporaryDirectory() as aside:
        maven = MavenContext(repo_cache=Path(aside), remote_repos=_repositories())
        wanted: list[Any] = [maven.create_dependency(Coordinate.parse(c)) for c in COORDINATES]
        inputs, transitive = maven.resolver.resolve(wanted)
        needed = [*inputs, *(d for d in transitive if d.scope in {"compile", "runtime"})]
        LockFile.from_resolved_dependencies(needed, environment_name="kafka").save(lock)


if __name__ == "__main__":
    renew()
