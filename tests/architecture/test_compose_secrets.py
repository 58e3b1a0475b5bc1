"""Each service of the compose files gets the secrets that it needs, in a volume that no other service mounts."""

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BASE = ROOT / "docker-compose.yml"
MAKER = "secrets"
"""The service that makes the secrets; its own volume has the same name."""

NEEDED = {
    "valkey": {"valkey.conf", "valkey-password"},
    "images": {"images.conf", "images-password"},
    "qdrant": {"QDRANT_API_KEY"},
    "gateway": {"REDIS_URL", "FACESEARCH_IMAGES_URL", "FACESEARCH_ADMIN_KEY"},
    "worker": {"REDIS_URL", "FACESEARCH_IMAGES_URL", "QDRANT_API_KEY"},
    "backup": {"REDIS_URL", "QDRANT_API_KEY"},
    "prometheus": {"QDRANT_API_KEY"},
    "grafana": {"grafana-password"},
}
"""Files in /run/secrets by service: the table in docs/compose.md."""

RANDOM = ("valkey-password", "images-password", "QDRANT_API_KEY", "FACESEARCH_ADMIN_KEY", "grafana-password")

FILES = [BASE, *sorted((ROOT / "deploy").glob("compose.*.yml"))]


def services() -> dict[str, list[dict[str, Any]]]:
    """Return the definitions of each service, one for each file that has it."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in FILES:
        for name, service in (yaml.safe_load(path.read_text()).get("services") or {}).items():
            found.setdefault(name, []).append(service)
    return found


def mounts(name: str) -> list[list[str]]:
    """Return the mounts of a service: source, target and, if there is one, mode."""
    return [volume.split(":") for service in services()[name] for volume in service.get("volumes", [])]


def readers_files(folder: Path, readers: set[str]) -> dict[str, dict[str, str]]:
    """Run the script of the service in folders instead of volumes. Returns the files of each reader: text by name."""
    (entrypoint, options), (script,) = services()[MAKER][0]["entrypoint"], services()[MAKER][0]["command"]
    for path in (folder / "run", *(folder / "readers" / name for name in readers)):
        path.mkdir(parents=True, exist_ok=True)
    script = script.replace("$$", "$").replace("/run/secrets", f"{folder}/run").replace("/readers", f"{folder}/readers")
    subprocess.run([entrypoint, options, script], check=True)
    return {name: {path.name: path.read_text() for path in (folder / "readers" / name).iterdir()} for name in readers}


def test_every_service_that_reads_secrets_has_a_volume_of_its_own() -> None:
    readers = {name: [where for where in mounts(name) if where[1] == "/run/secrets"] for name in services()}
    assert readers.pop(MAKER) == [[MAKER, "/run/secrets"]]
    assert {name: places for name, places in readers.items() if places} == {
        name: [[f"secrets-{name}", "/run/secrets", "ro"]] for name in NEEDED
    }


def test_the_secrets_service_mounts_the_volume_of_every_reader() -> None:
    handed = {where[1]: where[0] for where in mounts(MAKER) if where[1] != "/run/secrets"}
    assert handed == {f"/readers/{name}": f"secrets-{name}" for name in NEEDED}


def test_each_reader_gets_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    found = readers_files(tmp_path, set(NEEDED))
    assert {name: set(files) for name, files in found.items()} == NEEDED
    password = found["valkey"]["valkey-password"]
    assert found["valkey"]["valkey.conf"] == f"requirepass {password}"
    for name in ("gateway", "worker", "backup"):
        assert found[name]["REDIS_URL"] == f"redis://:{password}@valkey:6379/0"
    made = {(tmp_path / "run" / name).read_text() for name in RANDOM}
    assert len(made) == len(RANDOM)
    assert {len(secret) for secret in made} == {32}


def test_a_second_start_keeps_the_secrets(tmp_path: Path) -> None:
    assert readers_files(tmp_path, set(NEEDED)) == readers_files(tmp_path, set(NEEDED))


def test_services_that_do_not_run_get_no_files(tmp_path: Path) -> None:
    readers = set(NEEDED) - {"prometheus", "grafana"}
    assert set(readers_files(tmp_path, readers)) == readers
    assert {path.name for path in (tmp_path / "readers").iterdir()} == readers


@pytest.mark.parametrize("name", RANDOM)
def test_a_removed_secret_is_replaced_in_every_file_that_holds_it(tmp_path: Path, name: str) -> None:
    """A secret is changed in this way in docs/compose.md."""
    before = readers_files(tmp_path, set(NEEDED))
    old = (tmp_path / "run" / name).read_text()
    (tmp_path / "run" / name).unlink()
    after = readers_files(tmp_path, set(NEEDED))
    assert not [file for files in after.values() for file in files.values() if old in file]
    changed = {service for service in NEEDED if before[service] != after[service]}
    assert changed == {service for service, files in before.items() if any(old in file for file in files.values())}


def test_passwords_from_the_shared_volume_of_an_older_release_are_kept(tmp_path: Path) -> None:
    """In that release all services mounted one volume."""
    readers_files(tmp_path, set(NEEDED))
    shutil.rmtree(tmp_path / "readers")
    old = (tmp_path / "run" / "valkey-password").read_text()
    assert readers_files(tmp_path, {"valkey"})["valkey"]["valkey-password"] == old


def test_the_table_for_operators_lists_the_files_of_each_service() -> None:
    lines = (ROOT / "docs/compose.md").read_text().splitlines()
    rows = [line.split("|") for line in lines[lines.index("| service | files in its `/run/secrets` |") + 2 :]]
    table = itertools.takewhile(lambda row: len(row) == 4, rows)
    assert {service.strip(" `"): set(files.split("`")[1::2]) for _, service, files, _ in table} == NEEDED
