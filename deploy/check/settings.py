"""The settings as the chart's values know them: the part of values.schema.json that is made, not written.

`python -m check.settings` writes it anew after shared/settings.py has changed.
"""

import json
from pathlib import Path
from typing import Any, Final

from shared.settings import Settings

SCHEMA: Final = Path("deploy/helm/facesearch/values.schema.json")

SET_BY_THE_CHART: Final = {
    "FACESEARCH_HOST": "listen",
    "FACESEARCH_PORT": "the port of the container",
    "FACESEARCH_ADMIN_HOST": "listen",
    "FACESEARCH_ADMIN_PORT": "the port of the container",
    "FACESEARCH_METRICS_HOST": "listen",
    "FACESEARCH_METRICS_PORT": "metrics.port",
    "FACESEARCH_CALL_LOG_DIR": "where gateway.callLog is mounted",
    "FACESEARCH_DEVICE": "worker.gpu.enabled",
    "FACESEARCH_MODELS_DIR": "where the image has its models",
    "FACESEARCH_STORE": "always qdrant",
}
"""Variables that follow from other values, or that nothing in a pod could be gained by changing."""

NOT_IN_A_CLUSTER: Final = {
    "FACESEARCH_BROKER_MEMORY_MB": "of the embedded broker",
    "FACESEARCH_DATA_DIR": "folder of embedded mode",
    "FACESEARCH_BACKUP_DIR": "of the embedded store",
    "FACESEARCH_EDGE_OPEN_COLLECTIONS": "of the embedded store",
    "FACESEARCH_SYNC": "of embedded mode",
}
"""Variables that nothing reads where Redis and Qdrant are servers."""


def secrets() -> set[str]:
    """Variables whose value nobody may see."""
    return {
        variable for variable, name in Settings.variables().items() if "SecretStr" in str(Settings.model_fields[name])
    }


def config_schema() -> dict[str, Any]:
    """JSON Schema of the value `config`: each setting that an operator may choose, with its type and range."""
    described = Settings.model_json_schema()["properties"]
    left_out = secrets() | set(SET_BY_THE_CHART) | set(NOT_IN_A_CLUSTER)
    properties = {
        variable: _plain(described.get(variable, described.get(name)))
        for variable, name in Settings.variables().items()
        if variable not in left_out
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _plain(described: dict[str, Any]) -> dict[str, Any]:
    """Type and range alone. A setting that may be left out is left out of the values, not null."""
    for choice in described.get("anyOf", []):
        if choice.get("type") != "null":
            described = choice
    return {key: value for key, value in described.items() if key not in {"title", "description", "default", "format"}}


def main() -> None:
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["config"] = config_schema()
    SCHEMA.write_text(json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    main()
