"""Backups in containers: each command in docs/compose.md, and the jobs of the chart, whose pods are imitated by
containers.
"""

import base64
import os
import re
import shlex
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from stack import ROOT, Stack, docker, stack

import portraits
from processes import wait_for

PAGE = (ROOT / "docs" / "compose.md").read_text()
EXAMPLE = "2026-01-31T03-17-00Z"
"""The name of a backup in the docs."""
NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")


def blocks() -> list[list[str]]:
    """Return the command lines of each block of the section on backups."""
    section = PAGE.partition("\n## Back up and restore\n")[2].partition("\n## ")[0]
    return [block.strip().splitlines() for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)]


BACKUP, FOLDER, RESTORE = blocks()


@pytest.fixture(scope="module", params=["a Qdrant server", "the store in the worker"])
def installation(request: pytest.FixtureRequest) -> Iterator[Stack]:
    embedded = request.param == "the store in the worker"
    with stack("facesearch-backups", *(["compose.embedded.yml"] if embedded else [])) as made:
        made.up()
        made.wait_until_ready()
        yield made


@pytest.fixture(scope="module")
def api(installation: Stack) -> str:
    return installation.new_key()


def call(at: Stack, key: str, name: str, /, **form: str) -> dict[str, Any]:
    answer = httpx.post(f"{at.urls()[0]}/v1/{name}", headers={"X-API-Key": key}, data=form, timeout=30)
    return answer.json()  # type: ignore[no-any-return]


def found(at: Stack, key: str, image: bytes) -> str:
    """Return the status of a search."""
    return str(call(at, key, "searchface", img=base64.b64encode(image).decode())["status"])


def add(at: Stack, key: str, image: bytes, name: str) -> None:
    assert call(at, key, "addface", img=base64.b64encode(image).decode(), name=name)["status"] == "OK"


def shell(at: Stack, line: str, folder: Path, backup: str = EXAMPLE) -> str:
    """Return the output of a documented command line, run in the folder with the name of the backup in place of the
    example.
    """
    line = line.replace("docker compose", shlex.join(at.compose)).replace(EXAMPLE, backup)
    done = subprocess.run(
        ["sh", "-c", line],
        env={**os.environ, **at.environment},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{line}: {done.stdout[-1000:]} {done.stderr[-2000:]}"
    return done.stdout


def listed(at: Stack, folder: Path) -> list[str]:
    (line,) = (line for line in BACKUP if line.endswith(" ls /backups"))
    return shell(at, line, folder).split()


def test_every_documented_command_backs_up_and_restores(installation: Stack, api: str, tmp_path: Path) -> None:
    grace, eileen = portraits.hopper_jpeg(), portraits.astronaut_png()
    add(installation, api, grace, "Grace")
    first, *others = BACKUP
    said = shell(installation, first, tmp_path)
    (name,) = NAME.findall(said)
    assert re.search(rf"^/backups/{name}: .* MB, checked by its manifest.json$", said, re.MULTILINE)
    answers = [shell(installation, line, tmp_path, name) for line in others]
    assert answers[0].split() == [name]
    assert "nothing is wrong" in answers[1]
    with tarfile.open(tmp_path / "backups.tar") as archive:
        assert f"./{name}/manifest.json" in archive.getnames()

    add(installation, api, eileen, "Eileen")
    assert found(installation, api, eileen) == "OK"
    said = "".join(shell(installation, line, tmp_path, name) for line in RESTORE)
    assert "restored: " in said
    installation.wait_until_ready()
    wait_for(lambda: found(installation, api, grace) == "OK", 60)
    assert found(installation, api, eileen) == "NO_SIMILAR_FACE"


def test_only_the_newest_backups_are_kept(installation: Stack, tmp_path: Path) -> None:
    few = replace(installation, environment={**installation.environment, "FACESEARCH_BACKUPS_KEEP": "2"})
    made = [NAME.findall(shell(few, BACKUP[0], tmp_path))[0] for _ in range(3)]
    assert listed(few, tmp_path) == made[-2:]


def test_backups_can_be_written_to_a_folder_of_the_host(installation: Stack, tmp_path: Path) -> None:
    """The docs write the folder into .env; this test sets it in the environment."""
    folder = tmp_path / "kept"
    install, setting = (line.replace("/srv/facesearch", str(folder)) for line in FOLDER)
    shell(installation, install, tmp_path)
    name, _, value = setting.partition(" ")[2].partition(" >>")[0].partition("=")
    here = replace(installation, environment={**installation.environment, name: value})
    shell(here, BACKUP[0], tmp_path)
    (backup,) = (path for path in folder.iterdir() if NAME.fullmatch(path.name))
    assert (backup.stat().st_uid, stat.S_IMODE(backup.stat().st_mode)) == (10001, 0o700)
    assert (backup / "manifest.json").is_file()
    installation.up()


def test_a_folder_of_another_owner_is_an_error_with_a_hint(installation: Stack, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir(mode=0o755)
    here = replace(installation, environment={**installation.environment, "FACESEARCH_BACKUPS": str(tmp_path / "kept")})
    with pytest.raises(AssertionError, match=r"facesearch: cannot write to .*runs as user 10001.*chown"):
        shell(here, BACKUP[0], tmp_path)
    assert not list((tmp_path / "kept").iterdir())


def test_backup_in_the_gateway_names_the_right_container(installation: Stack) -> None:
    with pytest.raises(AssertionError, match=r"facesearch: `facesearch backup` needs .*docker compose run --rm backup"):
        installation.run("exec", "--no-TTY", "gateway", "facesearch", "backup", "/backups/monday")
    assert not installation.run("exec", "--no-TTY", "gateway", "ls", "/backups")


class TestInKubernetes:
    """No cluster is available: the pods of the chart run as containers with the same image, user, rights, settings and
    folder, beside the servers of Compose.
    """

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A volume as Kubernetes mounts it in a pod with an fsGroup."""
        folder = tmp_path / "claim"
        folder.mkdir()
        shutil.chown(folder, 0, 10001)
        folder.chmod(0o2775)
        return folder

    def test_the_jobs_back_up_and_restore(self, cluster: Stack, key: str, folder: Path) -> None:
        grace, eileen = portraits.hopper_jpeg(), portraits.astronaut_png()
        add(cluster, key, grace, "Grace")
        said = pod(cluster, folder, "CronJob")
        (name,) = NAME.findall(said)
        assert (folder / name / "manifest.json").is_file()

        add(cluster, key, eileen, "Eileen")
        cluster.run("stop", "gateway", "worker")
        assert "restored: " in pod(cluster, folder, "Job", name)
        cluster.up()
        cluster.wait_until_ready()
        wait_for(lambda: found(cluster, key, grace) == "OK", 60)
        assert found(cluster, key, eileen) == "NO_SIMILAR_FACE"

    @pytest.mark.parametrize("mode", [0o755, 0o700])
    def test_a_volume_that_is_not_writable_is_an_error_with_a_hint(
        self, cluster: Stack, tmp_path: Path, mode: int
    ) -> None:
        tmp_path.chmod(mode)
        with pytest.raises(AssertionError, match=r"facesearch: cannot write to .*runs as user 10001.*chown"):
            pod(cluster, tmp_path, "CronJob")


def pod(at: Stack, folder: Path, kind: str, name: str = EXAMPLE) -> str:
    """Return the output of the only container of that job, with the folder in place of its claim."""
    helm = pytest.importorskip("helm_python", reason="the chart is rendered by what `make containers` installs")
    with helm.Chart.load(ROOT / "deploy/helm/facesearch") as chart:
        values = {"backup": {"enabled": True, "restore": name}}
        texts = chart.render(values=values, name="facesearch", namespace="faces")
    objects = [
        item for file, text in texts.items() if file.endswith(".yaml") for item in yaml.safe_load_all(text) if item
    ]
    (job,) = (item["spec"] for item in objects if item["kind"] == kind)
    (config,) = (item["data"] for item in objects if item["kind"] == "ConfigMap" and "FACESEARCH_STORE" in item["data"])
    spec = job.get("jobTemplate", {"spec": job})["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    user, security = spec["securityContext"], container["securityContext"]
    assert security["readOnlyRootFilesystem"]
    settings = {**config, "QDRANT_URL": "http://qdrant:6333"}
    places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    return docker(
        *("run", "--rm", "--read-only", "--cap-drop", *security["capabilities"]["drop"]),
        *("--user", f"{user['runAsUser']}:{user['runAsGroup']}", "--group-add", str(user["fsGroup"])),
        *("--network", f"{at.project}_backend", "--tmpfs", places["tmp"]),
        *("--volume", f"{at.project}_secrets-backup:{places['secrets']}:ro"),
        *("--volume", f"{folder}:{places['backups']}"),
        *(argument for item in settings.items() for argument in ("--env", "=".join(item))),
        "facesearch/worker:latest",
        *container["command"],
    )
