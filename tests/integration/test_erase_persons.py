"""`facesearch erase --external-id` and `--name`: persons are deleted everywhere, and who asked gets a record."""

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from contract.tenants import new_tenant
from facesearch.backup import erasure, manifest
from facesearch.backup.holders import holders
from facesearch.cli.main import main
from homes import NOTHING
from portraits import astronaut_png, hopper_jpeg
from service import Service
from shared.errors import OperatorError
from traces import files_with, trace, vector

GRACE, EILEEN = (base64.b64encode(photo).decode() for photo in (hopper_jpeg(), astronaut_png()))
QUICK = {"FACESEARCH_DEADLINE_S": "20"}
"""Outcomes are kept for 5 s longer than that, and an erasure waits for their end."""


@dataclass
class Scene:
    """A tenant of a running service with two facedbs: Zebedeus in both, Zebedea, who is renamed, and Grace."""

    service: Service
    tenant: str
    key: str
    ids: dict[str, list[str]] = field(default_factory=dict)

    def fill(self) -> None:
        assert self.run("facedbs", "create", "staff").exit_code == 0
        self.add(EILEEN, "Zebedeus4711", "z-4711", '{"floor":"Zwischengeschoss"}')
        self.add(EILEEN, "Zebedeus4711", "z-4712", facedb="staff")
        self.add(EILEEN, "Zebedea", "z-4711")
        self.add(GRACE, "Grace", "e-1", unique="95")
        renamed = self.ids["Zebedea"][0]
        self.ask("PATCH", f"/v1/persons/{renamed}", {"name": "Zebedeus4711"})
        self.ids["Zebedeus4711"].append(self.ids.pop("Zebedea")[0])
        self.ask("POST", "/v1/addface", {"img": GRACE, "person_id": renamed})  # keeps the vectors of both faces

    def ask(self, method: str, path: str, data: dict[str, str]) -> Any:
        answer = self.service.http.request(method, path, headers={"X-API-Key": self.key}, data=data).json()
        assert answer["status"] == "OK", answer
        return answer["message"]

    def add(self, photo: str, name: str, external_id: str, metadata: str = "{}", **more: str) -> None:
        fields = {"img": photo, "name": name, "external_id": external_id, "metadata": metadata}
        (face,) = self.ask("POST", "/v1/addface", fields | more)
        self.ids.setdefault(name, []).append(face["person_id"])

    def run(self, *arguments: object, answer: str | None = None) -> Result:
        where = NOTHING | self.service.settings | {"FACESEARCH_DATA_DIR": str(self.service.folder)}
        return CliRunner().invoke(main, [*map(str, arguments), "--tenant", self.tenant], input=answer, env=where)

    def names(self, facedb: str = "default") -> list[str]:
        listed = self.run("persons", "list", "--facedb", facedb, "--json")
        return [person["name"] for person in json.loads(listed.stdout)]

    def events(self) -> list[dict[str, Any]]:
        where = NOTHING | self.service.settings | {"FACESEARCH_DATA_DIR": str(self.service.folder)}
        said = CliRunner().invoke(main, ["audit", "--json"], env=where)
        return [event for event in json.loads(said.stdout) if event["action"].endswith("erase")]


@contextmanager
def running(folder: Path) -> Iterator[Scene]:
    with Service(folder, dict(QUICK)) as service:
        tenant, keys = new_tenant(service.broker, own={})
        scene = Scene(service, tenant, keys["own"])
        scene.fill()
        yield scene


@pytest.mark.slow
@pytest.mark.embedded("it searches the files of a data directory of its own")
def test_a_person_is_erased_from_every_facedb_and_file(tmp_path: Path) -> None:
    with running(tmp_path / "home") as scene:
        home, kept = scene.service.folder, tmp_path / "backups"
        at = ("--data-dir", home)
        assert CliRunner().invoke(main, ["backup", str(kept / "one"), *map(str, at)], env=NOTHING).exit_code == 0
        zebedeus = scene.ids["Zebedeus4711"]
        alone = vector(astronaut_png())
        traces = [
            trace(alone),
            base64.b64encode(alone[126:192]),
            b"Zebedeus4711",
            b"z-4711",
            b"z-4712",
            b"Zwischengeschoss",
        ]
        before = files_with(home, *traces, trace(vector(hopper_jpeg())))
        assert all(before.values()), "a search that finds nothing proves nothing"
        for kind in (*traces[:2], trace(vector(hopper_jpeg()))):
            assert {path.split("/")[0] for path in before[kind]} == {"faces"}, "no broker writes a vector to a disk"

        asked = scene.run("erase", "--name", "Zebedeus4711", answer="n\n")
        assert asked.exit_code == 1
        assert f"Erase 3 persons of tenant {scene.tenant} with that name?" in asked.stderr
        assert scene.names() == ["Zebedeus4711", "Zebedeus4711", "Grace"]

        erased = scene.run("erase", "--name", "Zebedeus4711", "--yes", "--backups", kept, "--keep", 3)
        assert erased.exit_code == 0, erased.output
        assert scene.names() == ["Grace"]
        assert scene.names("staff") == []
        record = erased.stdout.splitlines()
        assert record[0].startswith(f"Erasure of the persons of tenant {scene.tenant} with the name that was given, ")
        assert record[1] == f"facedb default: deleted 2 persons ({zebedeus[0]}, {zebedeus[2]})"
        assert record[2] == f"facedb staff: deleted 1 person ({zebedeus[1]})"
        assert "The broker has rewritten its append-only file: no deleted name is in it." in record
        assert record[-1].startswith(f"{kept / 'one'}, of ")
        assert record[-1].endswith("has them until 3 more backups with --keep 3 are made.")
        assert files_with(home, *traces) == {some: set() for some in traces}
        assert [(e["action"], e["facedb"], e["persons"]) for e in scene.events()] == [
            ("person.erase", "default", 2),
            ("person.erase", "staff", 1),
            ("erase", None, None),
        ]
        said = erased.output + "".join(scene.service.said) + json.dumps(scene.events())
        assert "Zebedeus4711" not in said, "the name is in no output, log or audit trail"

        again = scene.run("erase", "--name", "Zebedeus4711", "--yes")
        assert again.exit_code == 1
        assert again.stderr.startswith("facesearch: nobody in any facedb of tenant")


def test_persons_with_an_external_id_are_erased(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "LONGEST_RESULT_S", 0)  # for the time: the test that searches files waits
    for number in range(2):
        scene.add(GRACE, f"Ada{number}", "ada")
    erased = scene.run("erase", "--external-id", "ada", "--facedb", "default", answer="y\n")
    assert erased.exit_code == 0, erased.output
    ids = ", ".join(scene.ids["Ada0"] + scene.ids["Ada1"])
    assert f"facedb default: deleted 2 persons ({ids})" in erased.stdout.splitlines()
    assert sorted(set(scene.names())) == ["Grace", "Zebedeus4711"]
    assert erased.stdout.splitlines()[-1].startswith("Name them with --backups to hear which, ")


@pytest.fixture(scope="module")
def scene(service: Service) -> Scene:
    tenant, keys = new_tenant(service.broker, own={})
    scene = Scene(service, tenant, keys["own"])
    scene.fill()
    return scene


class TestWhatIsRefused:
    def test_nobody_is_an_error_and_the_facedb_counts(self, scene: Scene) -> None:
        for arguments, where in (
            (("--external-id", "nobody"), "any facedb"),
            (("--external-id", "z-4712", "--facedb", "default"), "facedb default"),
            (("--name", "zebedeus4711"), "any facedb"),
        ):
            said = scene.run("erase", *arguments, "--yes")
            assert said.exit_code == 1
            assert f"nobody in {where} of tenant {scene.tenant} has that " in said.stderr
        assert len(scene.names()) == 3

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--name", "x", "--external-id", "y"),
            ("--name", ""),
            ("--external-id", ""),
            ("--facedb", "default"),
            ("--keep", "3"),
            ("--name", "x", "--backups", "/nowhere"),
        ],
        ids=["both", "no name", "no id", "no person", "nothing kept", "no folder"],
    )
    def test_wrong_options_erase_nothing(self, scene: Scene, arguments: tuple[str, ...]) -> None:
        assert scene.run("erase", *arguments, "--yes").exit_code == 2
        assert len(scene.names()) == 3

    def test_what_is_not_there_is_said(self, scene: Scene) -> None:
        said = scene.run("erase", "--name", "Grace", "--facedb", "nowhere", "--yes")
        assert said.exit_code == 1
        assert said.stderr.startswith(f"facesearch: tenant {scene.tenant} has no facedb nowhere; ")


class TestBackups:
    def backup(self, folder: Path, text: str, kind: manifest.Kind = "embedded") -> None:
        manifest.begin(folder)
        (folder / manifest.FACES / "a").write_text(text)
        (folder / manifest.FACES / "empty").touch()
        manifest.finish(folder, kind)

    def test_those_with_the_person_are_found(self, tmp_path: Path) -> None:
        person, other = str(uuid.uuid4()), str(uuid.uuid4())
        self.backup(tmp_path / "a", f'{{"person_id": "{person}"}}\n')
        self.backup(tmp_path / "b", f'{{"person_id": "{other}"}}\n')
        self.backup(tmp_path / "c", "", "qdrant")
        (tmp_path / "notes").mkdir()
        found = {holder.folder.name: holder for holder in holders(tmp_path, [person])}
        assert [(name, holder.sure) for name, holder in sorted(found.items())] == [("a", True), ("c", False)]
        assert [holder.folder for holder in holders(tmp_path / "a", [person])] == [tmp_path / "a"]
        assert holders(tmp_path / "b", [person]) == []

    def test_a_folder_without_backups_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(OperatorError, match="holds no backup"):
            holders(tmp_path, [str(uuid.uuid4())])
