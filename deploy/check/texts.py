"""What no other check knows: YAML and JSON that must parse, JSON Schemas, shell scripts."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import jsonschema
import yaml

from check import documents
from check.result import Result, one_line
from check.tools import complaint


def check(root: Path, checked: set[Path]) -> Iterator[Result]:
    """Files below deploy/, and scripts of tests/containers, that are not among those checked."""
    for path in sorted({*_files(root / "deploy"), *(root / "tests" / "containers").rglob("*.sh")}):
        if path in checked or path.suffix in {".md", ".py"} or path.name.endswith("ignore"):
            continue
        judge = _JUDGES.get(path.suffix)
        yield Result(path, judge(path) if judge else "no check knows this kind of file")


def _files(folder: Path) -> Iterator[Path]:
    """All but links, whose files are checked where they are, and what tools leave behind."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts[:-1])
        if path.is_file() and not path.is_symlink() and not hidden:
            yield path


def _yaml(path: Path) -> str:
    try:
        documents.load(path.read_text())
    except yaml.YAMLError as error:
        return one_line(str(error))
    return ""


def _json(path: Path) -> str:
    try:
        document = json.loads(path.read_text())
        if isinstance(document, dict) and "$schema" in document:
            jsonschema.validators.validator_for(document).check_schema(document)
    except ValueError as error:
        return str(error)
    except jsonschema.SchemaError as error:
        return one_line(f"no JSON Schema: {error.message}")
    return ""


def _shell(path: Path) -> str:
    first = path.read_text().partition("\n")[0]
    return complaint(["bash" if "bash" in first else "sh", "-n", path])


_JUDGES: Final[dict[str, Callable[[Path], str]]] = {".yml": _yaml, ".yaml": _yaml, ".json": _json, ".sh": _shell}
