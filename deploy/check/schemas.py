"""JSON Schemas of our own, for what no validator from elsewhere knows: only the fields that we use, and no others."""

import json
from functools import cache
from importlib import resources
from typing import Any

import jsonschema


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((resources.files("check") / "schemas" / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def exists(name: str) -> bool:
    return (resources.files("check") / "schemas" / f"{name}.json").is_file()


def complaint(name: str, document: Any) -> str:
    """The deepest thing that is wrong with the document and where, or ""."""
    error = jsonschema.exceptions.best_match(_validator(name).iter_errors(document))
    return "" if error is None else f"{error.json_path}: {error.message}"
