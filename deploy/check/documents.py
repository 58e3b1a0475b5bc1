"""Reading YAML as strictly as JSON."""

from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.CSafeLoader):
    """A loader that refuses a key given twice. PyYAML takes the last one and says nothing. In C: ten times as fast."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(text: str) -> list[Any]:
    """Every document that is not empty. Raises yaml.YAMLError."""
    return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]


def load_file(path: Path) -> Any:
    """The one document of a file, {} where it is empty. Raises yaml.YAMLError."""
    documents = load(path.read_text())
    if len(documents) > 1:
        raise yaml.YAMLError(f"{len(documents)} documents where one is expected")
    return documents[0] if documents else {}
