"""One body limit: the largest body that the gateway reads passes every proxy before it, and the docs state its size."""

import re
from pathlib import Path

import pytest
import yaml

from gateway.body.uploads import max_body_bytes

ROOT = Path(__file__).parents[2]
INSTALL = (ROOT / "docs" / "install.md").read_text()
LARGEST = max_body_bytes(2)
MIB = 1 << 20


def mebibytes() -> int:
    """Return the size of the largest body as nginx counts it, in whole MiB."""
    return -(-LARGEST // MIB)


def megabytes() -> int:
    return -(-LARGEST // 1_000_000)


@pytest.mark.parametrize("directive", ["client_max_body_size", "client_body_buffer_size"])
def test_the_nginx_example_accepts_the_largest_body_and_buffers_it_in_memory(directive: str) -> None:
    assert re.findall(rf"{directive} (\S+);", INSTALL) == [f"{mebibytes()}m"]


@pytest.mark.parametrize("annotation", ["proxy-body-size", "client-body-buffer-size"])
def test_the_ingress_of_the_chart_accepts_the_largest_body_and_buffers_it_in_memory(annotation: str) -> None:
    values = yaml.safe_load((ROOT / "deploy/helm/facesearch/values.yaml").read_text())
    assert values["ingress"]["annotations"][f"nginx.ingress.kubernetes.io/{annotation}"] == f"{mebibytes()}m"


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("docs/install.md", r"let bodies of (\d+) MB through"),
        ("docs/kubernetes.md", r"Ingress has to let (\d+) MB through"),
        ("docs/hostile-input.md", r"Read whole, at most (\S+) MB"),
        ("deploy/helm/facesearch/values.yaml", r"need (\d+) MB with their encoding"),
    ],
)
def test_documents_state_the_body_limit(file: str, sentence: str) -> None:
    text = " ".join((ROOT / file).read_text().replace("\n  #", "\n").split())
    assert re.findall(sentence, text) == [str(megabytes())]
