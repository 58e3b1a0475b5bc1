"""Kubernetes objects, by the schemas of the oldest and the newest supported version; others by ours."""

import json
from functools import cache
from typing import Any, Final

import kubernetes_validate

from check import schemas
from check.result import one_line

VERSIONS: Final = ("1.25", kubernetes_validate.latest_version())
"""The oldest is the chart's kubeVersion."""


def complaint(manifest: dict[str, Any]) -> str:
    """What is wrong with an object, or ""; fields that its kind does not have are wrong."""
    return _complaint(json.dumps(manifest, default=str))


@cache  # Most values make most objects alike.
def _complaint(text: str) -> str:
    manifest = json.loads(text)
    kind, version = manifest.get("kind"), manifest.get("apiVersion")
    if not kind or not version:
        return "an object without kind or apiVersion"
    if "." in version.partition("/")[0] and not version.partition("/")[0].endswith(".k8s.io"):
        return _by_our_schema(kind, manifest)
    for desired in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, desired, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(map(str, error.absolute_path))
            return one_line(f"{kind} {where} in Kubernetes {desired}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError as error:
            return one_line(error.message)
    return ""


def _by_our_schema(kind: str, manifest: dict[str, Any]) -> str:
    name = kind.lower()
    if not schemas.exists(name):
        return f"{kind} is no kind of Kubernetes, and there is no schema of ours for it"
    reason = schemas.complaint(name, manifest)
    return reason and f"{kind} {reason}"
