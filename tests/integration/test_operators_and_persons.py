"""Operators see and change persons, by the admin API and on the command line, with a real service and without one."""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from redis import Redis

import backends
from contract.tenants import new_tenant
from facesearch.cli.main import main
from portraits import astronaut_png, hopper_jpeg, side_by_side
from service import Service
from shared import operator_jobs
from shared.control.retentions import ERASE
from shared.fair_queue import HELD, LINE_PREFIX

BOTH = base64.b64encode(side_by_side(hopper_jpeg(), astronaut_png())).decode()


@dataclass
class Operator:
    """An operator, and a tenant of a running service with two persons: Grace and Grace."""

    service: Service
    tenant: str
    key: str

    def __post_init__(self) -> None:
        fields = {"img": BOTH, "name": "Grace", "external_id": "e-1", "metadata": '{"floor":3}'}
        said = self.service.http.post("/v1/addface", headers={"X-API-Key": self.key}, data=fields).json()
        self.ids: list[str] = [face["person_id"] for face in said["message"]]

    def admin(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return the HTTP code and the message of an answer. path: below the tenant's."""
        (address,) = re.findall(r"^  admin +(\S+)$", "".join(self.service.said), re.MULTILINE)
        key = (self.service.folder / "admin-key").read_text().strip()
        answer = httpx.request(
            method,
            f"{address}/tenants/{self.tenant}{path}",
            headers={"X-Admin-Key": key},
            json=body,
            timeout=150,
        )
        return answer.status_code, answer.json()["message"]

    def run(self, *arguments: str, answer: str | None = None) -> Result:
        settings = {"REDIS_URL": self.service.broker, "FACESEARCH_DEADLINE_S": "120"}
        return CliRunner().invoke(main, [*arguments, "--tenant", self.tenant], input=answer, env=settings)

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def refused(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 1, result.output
        return result.stderr.splitlines()[0].removeprefix("facesearch: ")

    def audited(self) -> list[tuple[str, str]]:
        """Return actions and facedbs of the audit trail."""
        result = CliRunner().invoke(main, ["audit", "--json"], env={"REDIS_URL": self.service.broker})
        return [(e["action"], e.get("facedb")) for e in json.loads(result.stdout) if e.get("tenant") == self.tenant]


@pytest.fixture
def operator(service: Service) -> Operator:
    tenant, keys = new_tenant(service.broker, own={})
    return Operator(service, tenant, keys["own"])


PERSONS = "/facedbs/default/persons"
NOBODY = f"{PERSONS}/4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"


class TestAdminApi:
    def test_persons_are_listed_by_cursor_and_looked_up(self, operator: Operator) -> None:
        code, page = operator.admin("GET", f"{PERSONS}?limit=1")
        assert code == 200
        (first,) = page["persons"]
        assert (first["person_id"], first["name"], first["metadata"]) == (operator.ids[0], "Grace", {"floor": 3})
        _, rest = operator.admin("GET", f"{PERSONS}?after={page['next']}")
        assert ([person["person_id"] for person in rest["persons"]], rest["next"]) == (operator.ids[1:], None)
        code, whole = operator.admin("GET", f"{PERSONS}/{operator.ids[0]}")
        assert (code, whole | {"faces": len(whole["faces"])}) == (200, first)
        assert operator.admin("GET", f"{PERSONS}?external_id=e-2")[1]["persons"] == []

    def test_a_person_is_changed_and_deleted_which_is_audited(self, operator: Operator) -> None:
        path = f"{PERSONS}/{operator.ids[0]}"
        code, person = operator.admin("PATCH", path, {"name": "Ada", "external_id": None, "metadata": {"a": [1]}})
        assert (code, person["name"], person.get("external_id"), person["metadata"]) == (200, "Ada", None, {"a": [1]})
        whole = operator.admin("GET", path)[1]
        changed = operator.admin("PATCH", path, {"metadata": None})[1]
        assert changed == {name: value for name, value in whole.items() if name != "metadata"} | {"faces": 1}
        assert operator.admin("DELETE", path) == (200, "person deleted")
        for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
            gone = f"facedb default of tenant {operator.tenant} has no such person"
            assert operator.admin(method, path, body) == (404, gone)
        done = [("person.update", "default"), ("person.update", "default"), ("person.delete", "default")]
        assert operator.audited() == done
        assert operator.ids[0] not in "".join(operator.service.said), "an id of a person is in no log"

    def test_persons_are_erased_by_external_id_or_name(self, operator: Operator) -> None:
        asked = {"external_id": "e-1"}
        said = (409, "2 would be erased, for good; send it again with confirmed true")
        assert operator.admin("POST", "/erasures", asked) == said
        code, done = operator.admin("POST", "/erasures", asked | {"confirmed": True})
        assert (code, done["deleted"], done["reason"]) == (200, {"default": operator.ids}, "")
        assert operator.admin("GET", PERSONS)[1]["persons"] == []
        gone = f"nobody of tenant {operator.tenant} has that external_id"
        assert operator.admin("POST", "/erasures", asked | {"confirmed": True}) == (404, gone)
        assert operator.audited() == [("person.erase", None)]
        with Redis.from_url(operator.service.broker) as redis:
            waiting = [member.decode() for member in redis.zrange(ERASE, 0, -1)]
        assert [name.split(".")[0] for name in waiting].count(operator.tenant) == 1

    @pytest.mark.parametrize(
        ("body", "code", "message"),
        [
            ({}, 400, "either external_id or name must be given"),
            ({"name": "a", "external_id": "b"}, 400, "either external_id or name must be given"),
            ({"name": ""}, 400, "name must be a text that is not empty"),
            ({"name": "Grace", "facedb": "nowhere"}, 404, "has no facedb nowhere"),
            ({"name": "nobody"}, 404, "has that name"),
        ],
    )
    def test_wrong_erasures_are_refused(
        self, operator: Operator, body: dict[str, str], code: int, message: str
    ) -> None:
        answered, said = operator.admin("POST", "/erasures", {**body, "confirmed": True})
        assert (answered, message in said) == (code, True), said
        assert len(operator.admin("GET", PERSONS)[1]["persons"]) == 2

    def test_a_face_of_a_person_is_deleted_which_is_audited(self, operator: Operator) -> None:
        person = operator.ids[0]
        (face,) = operator.admin("GET", f"{PERSONS}/{person}")[1]["faces"]
        code, said = operator.admin("DELETE", f"{PERSONS}/{person}/faces/{operator.ids[1]}")
        assert (code, "has no such person" in said) == (404, True)
        assert operator.admin("DELETE", f"{PERSONS}/{person}/faces/{face['face_id']}") == (200, "face deleted")
        assert operator.admin("GET", f"{PERSONS}/{person}")[0] == 404, "it was the last one"
        assert operator.audited() == [("person.delete-face", "default")]

    def test_facedbs_are_counted(self, operator: Operator) -> None:
        operator.admin("POST", "/facedbs", {"name": "empty"})
        assert operator.admin("GET", "/counted-facedbs") == (
            200,
            [
                {"facedb": "default", "persons": 2, "faces": 2, "default": True},
                {"facedb": "empty", "persons": 0, "faces": 0, "default": False},
            ],
        )

    @pytest.mark.parametrize(
        ("method", "path", "body", "code", "message"),
        [
            ("GET", f"{PERSONS}?limit=0", None, 400, "limit must be a whole number from 1 to 100"),
            ("GET", f"{PERSONS}?after=x", None, 400, "after is not the next of an answer"),
            ("GET", f"{PERSONS}?limit=1&limit=2", None, 400, "limit is given twice"),
            ("GET", "/facedbs/nobodys/persons", None, 404, "has no facedb nobodys"),
            ("GET", f"{PERSONS}/x", None, 404, "has no such person"),
            ("PATCH", NOBODY, {}, 400, "nothing is to be changed"),
            ("PATCH", NOBODY, {"name": 7}, 400, "name must be a text, or null to remove it"),
            ("PATCH", NOBODY, {"name": "a b"}, 400, "name must be at most 128 letters and digits"),
            (
                "PATCH",
                NOBODY,
                {"metadata": {"a": "x" * 5000}},
                400,
                "metadata must be a JSON object",
            ),
            ("PATCH", NOBODY, {"age": 7}, 400, "'age' is not known here"),
            ("PATCH", NOBODY, {"name": "x"}, 404, "has no such person"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, operator: Operator, method: str, path: str, body: object, code: int, message: str
    ) -> None:
        answered, said = operator.admin(method, path, body)
        assert (answered, message in said) == (code, True), said
        assert operator.audited() == []


class TestCommands:
    def test_persons_are_listed(self, operator: Operator) -> None:
        found = operator.json("persons", "list")
        assert [person["person_id"] for person in found] == operator.ids
        assert operator.json("persons", "list", "--external-id", "none") == []
        result = operator.run("persons", "list", "--limit", "1", "--name", "Grace", "--facedb", "default")
        head, row = result.stdout.splitlines()
        assert head.split() == ["PERSON", "ID", "NAME", "ADDED", "EXTERNAL", "ID", "METADATA", "FACES"]
        assert row.split()[:2] == [operator.ids[0], "Grace"]
        assert row.split()[-4:] == ["e-1", '{"floor":', "3}", "1"]
        assert "there are more than 1; --limit says how many are listed" in result.stderr

    def test_a_name_that_one_person_has_stands_for_its_id(self, operator: Operator) -> None:
        first, second = operator.ids
        assert operator.refused("persons", "show", "Grace").startswith("several persons have that name; ")
        assert operator.refused("persons", "show", "Ada").startswith("nobody has that name, and it is no person_id; ")
        renamed = operator.json("persons", "rename", first, "Ada")
        assert (renamed["person_id"], renamed["name"], renamed["external_id"]) == (first, "Ada", "e-1")
        shown = operator.json("persons", "show", "Ada")
        assert shown == operator.json("persons", "show", first)
        assert shown | {"faces": len(shown["faces"])} == renamed
        assert operator.json("persons", "show", "Grace")["person_id"] == second
        result = operator.run("persons", "delete", "Ada", "--yes")
        assert (result.exit_code, result.stdout) == (0, f"person {first} deleted\n")
        assert [person["person_id"] for person in operator.json("persons", "list")] == [second]
        assert operator.audited() == [("person.update", "default"), ("person.delete", "default")]
        assert "has no such person; " in operator.refused("persons", "show", first)

    def test_the_faces_of_a_person_are_shown_and_deleted(self, operator: Operator) -> None:
        person = operator.ids[0]
        (face,) = operator.json("persons", "show", person)["faces"]
        head, row = operator.run("persons", "show", person).stdout.splitlines()[-2:]
        assert head.split() == ["FACE", "ID", "ADDED", "SIZE", "SHARPNESS"]
        assert row.split() == [
            face["face_id"],
            face["added"],
            f"{face['quality']['size']:g}",
            f"{face['quality']['sharpness']:g}",
        ]
        result = operator.run("persons", "delete", person, "--face", face["face_id"], "--yes")
        assert (result.exit_code, result.stdout) == (0, f"face {face['face_id']} deleted\n")
        assert "has no such person; " in operator.refused("persons", "show", person), "it was the last one"
        assert operator.audited() == [("person.delete-face", "default")]

    def test_a_delete_asks_first(self, operator: Operator) -> None:
        result = operator.run("persons", "delete", operator.ids[0], answer="n\n")
        assert result.exit_code == 1
        assert len(operator.json("persons", "list")) == 2

    def test_what_is_wrong_is_said(self, operator: Operator) -> None:
        assert "has no facedb nobodys; " in operator.refused("persons", "list", "--facedb", "nobodys")
        assert operator.refused("persons", "rename", operator.ids[0], "a b") == (
            "name must be at most 128 letters and digits"
        )

    def test_facedbs_are_counted(self, operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(operator_jobs, "COUNTED_AT_ONCE", 2)
        operator.run("facedbs", "create", "empty")
        operator.run("facedbs", "create", "none")
        assert operator.json("facedbs", "list", "--count") == [
            {"facedb": "default", "persons": 2, "faces": 2, "default": True},
            {"facedb": "empty", "persons": 0, "faces": 0, "default": False},
            {"facedb": "none", "persons": 0, "faces": 0, "default": False},
        ]
        operator.run("facedbs", "drop", "empty", "--yes")
        operator.run("facedbs", "drop", "none", "--yes")
        assert operator.run("facedbs", "list", "--count").stdout == (
            "FACEDB   DEFAULT  PERSONS  FACES\ndefault  yes      2        2\n"
        )

    def test_what_to_do_is_said_where_a_worker_fails(self, operator: Operator) -> None:
        if backends.qdrant():
            pytest.skip("the files of the store are elsewhere")
        (listed,) = operator.json("facedbs", "list")
        damaged = operator.service.folder / "faces" / listed["collection"] / "collection.json"
        whole = damaged.read_bytes()
        damaged.write_bytes(b"")
        try:
            assert operator.refused("facedbs", "list", "--count") == (
                "a worker tried it and failed: most likely its store did not answer in time; try again, and if it "
                "stays so, look for the reason at job_failed or job_unavailable in the log of the workers"
            )
        finally:
            damaged.write_bytes(whole)


def test_without_a_worker_it_is_said_and_no_job_is_left(valkey_url: str) -> None:
    tenant, _ = new_tenant(valkey_url)
    settings = {"REDIS_URL": valkey_url, "FACESEARCH_DEADLINE_S": "0.2"}
    result = CliRunner().invoke(main, ["persons", "list", "--tenant", tenant], env=settings)
    assert result.exit_code == 1
    assert result.stderr == ("facesearch: no worker did it within 0.2 s; see whether one runs, and try again\n")
    with Redis.from_url(valkey_url) as redis:
        assert not redis.keys(f"{LINE_PREFIX}*")
        assert not redis.exists(HELD)
