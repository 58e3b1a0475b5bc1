"""No tenant sees, finds, deletes, counts or infers anything of another's: every call with every foreign id.

Each attempt is made twice: with an id of another tenant, and with one that does not exist. The answers must be the same
bytes. `pytest -s` prints the matrix that docs/isolation.md shows.
"""

import asyncio
import base64
import hashlib
import itertools
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from redis.asyncio import Redis

from facesearch.cli.main import main
from gateway.access.authentication import CACHE_S
from portraits import astronaut_png, hopper_jpeg
from processes import wait_for
from row_requests import row_request
from service import Service
from shared.calls import CALLS
from shared.control import Control, Key, Scope

DOCUMENT = Path(__file__).parents[2] / "docs/isolation.md"
IMG = base64.b64encode(hopper_jpeg()).decode()
OTHER_IMG = base64.b64encode(astronaut_png()).decode()
BOTH = {"img1": IMG, "img2": IMG}


@dataclass(frozen=True)
class Holdings:
    """The possessions of a tenant. twin: a facedb whose name every tenant has, but only this one has a face in it. own:
    a facedb that no other tenant has, with a face too.
    """

    tenant: str
    twin: str
    own: str
    collection: str
    twin_face: str
    own_face: str
    key: Key
    secret: str
    cursor: str
    job: str


@dataclass
class IsolatedTenants:
    """A running service with three tenants."""

    service: Service
    tenants: list[Holdings] = field(default_factory=list)

    def control(self, question: Callable[[Control], Any]) -> Any:
        async def ask() -> Any:
            async with Redis.from_url(self.service.broker) as redis:
                return await question(Control(redis))

        return asyncio.run(ask())

    def call(self, name: str, secret: str, /, **parameters: str) -> httpx.Response:
        sent = row_request(next(call for call in CALLS if call.name == name), parameters)
        headers = {"X-API-Key": secret}
        return self.service.http.request(sent.method, sent.target, headers=headers, data=sent.form or None)

    def job(self, secret: str) -> str:
        """Return the id of a job that ended."""
        sent = {"X-API-Key": secret, "Prefer": "respond-async"}
        job_id = self.service.http.post("/v1/searchface", headers=sent, data={"img": OTHER_IMG}).json()["message"][
            "job_id"
        ]
        wait_for(lambda: self.look_up(secret, job_id).status_code == 200)
        return str(job_id)

    def look_up(self, secret: str, job_id: str) -> httpx.Response:
        return self.service.http.get(f"/v1/jobs/{job_id}", headers={"X-API-Key": secret})

    def ids(self, secret: str, facedb: str | None = None) -> list[str]:
        """Return the ids of everybody who looks like the portrait."""
        parameters = {"img": IMG} | ({} if facedb is None else {"facedb": facedb})
        said = self.call("searchface", secret, **parameters).json()
        assert said["status"] in ("OK", "NO_SIMILAR_FACE")
        return [match["person_id"] for match in said["message"]] if said["status"] == "OK" else []

    def admin(self, method: str, path: str, key: str | None = None, body: object = None) -> httpx.Response:
        (address,) = re.findall(r"^  admin +(\S+)$", "".join(self.service.said), re.MULTILINE)
        right = (self.service.folder / "admin-key").read_text().strip()
        return httpx.request(method, f"{address}{path}", headers={"X-Admin-Key": key or right}, json=body)

    def command(self, line: str) -> str:
        """Return the error message of a command that must fail."""
        result = CliRunner().invoke(main, line.split(), env={"REDIS_URL": self.service.broker})
        assert result.exit_code == 1
        assert not result.stdout
        return result.stderr


@pytest.fixture(scope="module")
def isolated(service: Service) -> Iterator[IsolatedTenants]:
    isolated = IsolatedTenants(service)
    names = [f"tenant{number}-{uuid.uuid4().hex[:8]}" for number in range(3)]
    twins = ["twin-nobody", *(f"twin-{name}" for name in names)]
    for name in names:
        isolated.tenants.append(create_holdings(isolated, name, twins))
    yield isolated
    for name in names:
        isolated.control(lambda control, name=name: control.drop_tenant(name))


def create_holdings(isolated: IsolatedTenants, name: str, twins: list[str]) -> Holdings:
    """Create a tenant with its facedbs, faces and a key."""
    own, twin = f"own-{name}", f"twin-{name}"

    async def make(control: Control) -> tuple[Key, str, str]:
        await control.create_tenant(name)
        for facedb in (*twins, own):
            await control.create_facedb(name, facedb)
        facedb = await control.facedb(name, own)
        assert facedb is not None
        return *await control.create_key(name, "all"), facedb.collection

    key, secret, collection = isolated.control(make)
    faces = []
    for facedb in (twin, own):
        said = isolated.call("addface", secret, img=IMG, facedb=facedb).json()
        assert said["message"][0]["name"] == "ID0", "whatever other tenants added"
        faces.append(said["message"][0]["person_id"])
    return Holdings(
        name, twin, own, collection, *faces, key, secret, a_cursor(isolated, secret, twin), isolated.job(secret)
    )


def a_cursor(isolated: IsolatedTenants, secret: str, facedb: str) -> str:
    """Return a cursor of the list of a facedb, which is as it was."""
    other = isolated.call("addface", secret, img=OTHER_IMG, facedb=facedb, name="other").json()["message"][0]
    cursor = isolated.call("listpersons", secret, facedb=facedb, limit="1").json()["message"]["next"]
    assert isolated.call("delface", secret, facedb=facedb, person_id=other["person_id"]).json()["status"] == "OK"
    return str(cursor)


NOBODY = Holdings(
    tenant="nobody",
    twin="twin-nobody",
    own="own-nobody",
    collection="nobody.own-nobody.00000000",
    twin_face="00000000-0000-4000-8000-000000000001",
    own_face="00000000-0000-4000-8000-000000000002",
    key=Key(id="0123456789ab", tenant="nobody", name="all", scopes=frozenset(Scope), created=datetime.now(UTC)),
    secret="fs_" + "x" * 32,
    cursor="A" * 56,
    job=f"{'0' * 12}.{'0' * 32}",
)

Attempt = Callable[[IsolatedTenants, Holdings, Holdings], httpx.Response | str]
"""An attempt of a caller with an id of another tenant: (tenants, caller, owner) -> answer."""

NO_FACEDB = "INVALID_REQUEST: facedb does not exist"
NO_KEY = "INVALID_REQUEST: X-API-Key header is missing, or its key is unknown or has expired"
NO_NAME = "INVALID_REQUEST: facedb must be 1 to 64 letters, digits, - or _"
NO_ADMIN = "INVALID_REQUEST: X-Admin-Key header is missing or wrong"
NO_PERSON = "PERSON_ID_NOT_EXIST: check input person id"
NOBODY_THERE = "NO_SIMILAR_FACE: no similar face in db"


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# (call, foreign thing, attempt, answer)
ATTEMPTS: list[tuple[str, str, Attempt, str]] = [
    *(
        (call, thing, attempt, answer)
        for call, more in (
            ("addface", {"img": IMG}),
            ("searchface", {"img": IMG}),
            ("delface", {"person_id": "1"}),
            ("listpersons", {}),
            ("getperson", {"person_id": "1"}),
            ("updateperson", {"person_id": "1", "name": "x"}),
            ("deleteperson", {"person_id": "1"}),
            ("deleteface", {"person_id": "1", "face_id": "1"}),
        )
        for thing, attempt, answer in (
            ("facedb", lambda t, c, o, n=call, m=more: t.call(n, c.secret, facedb=o.own, **m), NO_FACEDB),
            ("collection", lambda t, c, o, n=call, m=more: t.call(n, c.secret, facedb=o.collection, **m), NO_NAME),
            ("key id, as a key", lambda t, _, o, n=call, m=more: t.call(n, o.key.id, **m), NO_KEY),
            ("key's hash, as a key", lambda t, _, o, n=call, m=more: t.call(n, digest(o.secret), **m), NO_KEY),
        )
    ),
    *(
        (call, thing, attempt, NO_KEY)
        for call, more in (("facecompare", BOTH), ("listfacedbs", {}))
        for thing, attempt in (
            ("key id, as a key", lambda t, _, o, n=call, m=more: t.call(n, o.key.id, **m)),
            ("key's hash, as a key", lambda t, _, o, n=call, m=more: t.call(n, digest(o.secret), **m)),
        )
    ),
    (
        "searchface",
        "facedb of a name that both have",
        lambda t, c, o: t.call("searchface", c.secret, img=IMG, facedb=o.twin),
        NOBODY_THERE,
    ),
    (
        "searchface",
        "face, in the default facedb",
        lambda t, c, _: t.call("searchface", c.secret, img=IMG),
        NOBODY_THERE,
    ),
    *(
        (call, thing, attempt, answer)
        for call, more in (
            ("searchface", {}),
            ("addface", {"img": IMG}),
            ("delface", {}),
            ("getperson", {}),
            ("updateperson", {"name": "x"}),
            ("deleteperson", {}),
        )
        for thing, attempt, answer in (
            (
                "person_id",
                lambda t, c, o, n=call, m=more: t.call(n, c.secret, person_id=o.own_face, **m),
                NO_PERSON,
            ),
            (
                "person_id, in a facedb of a name that both have",
                lambda t, c, o, n=call, m=more: t.call(n, c.secret, person_id=o.twin_face, facedb=o.twin, **m),
                NO_PERSON,
            ),
            (
                "person_id and its facedb",
                lambda t, c, o, n=call, m=more: t.call(n, c.secret, person_id=o.own_face, facedb=o.own, **m),
                NO_FACEDB,
            ),
        )
    ),
    *(
        ("deleteface", thing, attempt, answer)
        for thing, attempt, answer in (
            (
                "person_id and face_id",
                lambda t, c, o: t.call("deleteface", c.secret, person_id=o.own_face, face_id=o.own_face),
                NO_PERSON,
            ),
            (
                "face_id, of a person of one's own",
                lambda t, c, o: t.call("deleteface", c.secret, person_id=c.own_face, face_id=o.own_face, facedb=c.own),
                NO_PERSON,
            ),
        )
    ),
    (
        "listpersons",
        "facedb of a name that both have",
        lambda t, c, o: t.call("listpersons", c.secret, facedb=o.twin),
        'OK: {"persons": [], "next": null}',
    ),
    (
        "listpersons",
        "cursor, in a facedb of a name that both have",
        lambda t, c, o: t.call("listpersons", c.secret, facedb=o.twin, after=o.cursor),
        "INVALID_REQUEST: after is not the next of an answer to the same request; begin again without it",
    ),
    (
        "getjob",
        "job_id",
        lambda t, c, o: t.look_up(c.secret, o.job),
        "INVALID_REQUEST: job_id: there is no such job, or it ended more than an hour ago",
    ),
    (
        "DELETE …/tenants/{tenant}/keys/{key_id}",
        "key id",
        lambda t, c, o: t.admin("DELETE", f"/tenants/{c.tenant}/keys/{o.key.id}"),
        "INVALID_REQUEST: tenant TENANT has no key KEY",
    ),
    (
        "DELETE …/tenants/{tenant}/facedbs/{facedb}",
        "facedb",
        lambda t, c, o: t.admin("DELETE", f"/tenants/{c.tenant}/facedbs/{o.own}"),
        "INVALID_REQUEST: tenant TENANT has no facedb FACEDB",
    ),
    (
        "PUT …/tenants/{tenant}/facedbs/{facedb}/confidence",
        "facedb",
        lambda t, c, o: t.admin("PUT", f"/tenants/{c.tenant}/facedbs/{o.own}/confidence"),
        "INVALID_REQUEST: tenant TENANT has no facedb FACEDB",
    ),
    (
        "POST …/tenants/{tenant}/erasures",
        "facedb",
        lambda t, c, o: t.admin(
            "POST", f"/tenants/{c.tenant}/erasures", body={"name": "x", "facedb": o.own, "confirmed": True}
        ),
        "INVALID_REQUEST: tenant TENANT has no facedb FACEDB",
    ),
    *(
        (
            f"{method} …/tenants/{{tenant}}/facedbs/{{facedb}}/retention",
            "facedb",
            lambda t, c, o, m=method, b=body: t.admin(m, f"/tenants/{c.tenant}/facedbs/{o.own}/retention", body=b),
            "INVALID_REQUEST: tenant TENANT has no facedb FACEDB",
        )
        for method, body in (("GET", None), ("PUT", {"days": 1, "confirmed": True}), ("DELETE", None))
    ),
    (
        "PUT …/tenants/{tenant}/default-facedb",
        "facedb",
        lambda t, c, o: t.admin("PUT", f"/tenants/{c.tenant}/default-facedb", body={"facedb": o.own}),
        "INVALID_REQUEST: tenant TENANT has no facedb FACEDB",
    ),
    *(
        (f"{method} …/tenants/{{tenant}}/facedbs/{{facedb}}/persons{more}", thing, attempt, answer)
        for method, more, body in (
            ("GET", "", None),
            ("GET", "/{person_id}", None),
            ("PATCH", "/{person_id}", {"name": "x"}),
            ("DELETE", "/{person_id}", None),
        )
        for thing, attempt, answer in (
            (
                "facedb",
                lambda t, c, o, m=method, w=more, b=body: t.admin(
                    m, f"/tenants/{c.tenant}/facedbs/{o.own}/persons{w and f'/{o.own_face}'}", body=b
                ),
                "INVALID_REQUEST: tenant TENANT has no facedb FACEDB",
            ),
            *(
                (
                    "person_id, in a facedb of a name that both have",
                    lambda t, c, o, m=method, b=body: t.admin(
                        m, f"/tenants/{c.tenant}/facedbs/{o.twin}/persons/{o.twin_face}", body=b
                    ),
                    "INVALID_REQUEST: facedb TWIN of tenant TENANT has no such person",
                )
                for _ in [more]
                if more
            ),
        )
    ),
    ("GET …/tenants", "API key, as the admin key", lambda t, _, o: t.admin("GET", "/tenants", o.secret), NO_ADMIN),
    (
        "facesearch keys revoke",
        "key id",
        lambda t, c, o: t.command(f"keys revoke {o.key.id} --tenant {c.tenant}"),
        "tenant TENANT has no key KEY",
    ),
    *(
        (
            f"facesearch persons {what}",
            "person_id, in a facedb of a name that both have",
            lambda t, c, o, w=what, m=more: t.command(
                f"persons {w} {o.twin_face} {m} --tenant {c.tenant} --facedb {o.twin}"
            ),
            "facedb TWIN of tenant TENANT has no such person",
        )
        for what, more in (("show", ""), ("rename", "x"), ("delete", "--yes"))
    ),
    (
        "facesearch facedbs drop",
        "facedb",
        lambda t, c, o: t.command(f"facedbs drop {o.own} --tenant {c.tenant} --yes"),
        "tenant TENANT has no facedb FACEDB",
    ),
    (
        "facesearch facedbs confidence",
        "facedb",
        lambda t, c, o: t.command(f"facedbs confidence {o.own} --tenant {c.tenant}"),
        "tenant TENANT has no facedb FACEDB",
    ),
    (
        "facesearch erase",
        "facedb",
        lambda t, c, o: t.command(f"erase --external-id e --facedb {o.own} --tenant {c.tenant} --yes"),
        "tenant TENANT has no facedb FACEDB",
    ),
    *(
        (
            "facesearch facedbs migrate",
            f"facedb{what}",
            lambda t, c, o, w=options: t.command(f"facedbs migrate {o.own} --tenant {c.tenant}{w}"),
            "tenant TENANT has no facedb FACEDB",
        )
        for what, options in (("", ""), (", to switch it", " --switch"), (", to give it up", " --cancel"))
    ),
    *(
        (
            "facesearch facedbs retention",
            f"facedb{what}",
            lambda t, c, o, w=options: t.command(f"facedbs retention {o.own} --tenant {c.tenant}{w}"),
            "tenant TENANT has no facedb FACEDB",
        )
        for what, options in (("", ""), (", to set it", " --days 1 --yes"), (", to remove it", " --off"))
    ),
    (
        "facesearch facedbs default",
        "facedb",
        lambda t, c, o: t.command(f"facedbs default {o.own} --tenant {c.tenant}"),
        "tenant TENANT has no facedb FACEDB",
    ),
]


def revealed(answer: httpx.Response | str, caller: Holdings, named: Holdings) -> tuple[object, ...]:
    """Return everything that an answer reveals, except words that an operator wrote and gets back."""
    text = answer if isinstance(answer, str) else answer.text
    words = ((named.key.id, "KEY"), (named.own, "FACEDB"), (named.twin, "TWIN"), (caller.tenant, "TENANT"))
    for word, what in words:
        text = text.replace(word, what)
    if isinstance(answer, str):
        return (text.removeprefix("facesearch: ").strip(),)
    in_it = named.own in answer.text or named.twin in answer.text
    ignored = ("x-request-id", "date", "content-length") if in_it else ("x-request-id", "date")
    headers = [(name, value) for name, value in answer.headers.multi_items() if name not in ignored]
    return answer.status_code, headers, text


@pytest.mark.parametrize(
    ("call", "thing", "attempt", "expected"), ATTEMPTS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_foreign_id_is_answered_like_an_unknown_one(
    isolated: IsolatedTenants, call: str, thing: str, attempt: Attempt, expected: str
) -> None:
    pairs = list(itertools.permutations(isolated.tenants, 2))
    for caller, owner in pairs:
        foreign, nobodys = attempt(isolated, caller, owner), attempt(isolated, caller, NOBODY)
        assert revealed(foreign, caller, owner) == revealed(nobodys, caller, NOBODY)
        said = revealed(foreign, caller, owner)[-1]
        if isinstance(foreign, str):
            said = str(said).partition("; `facesearch ")[0]  # what lists such things
        else:
            answered = json.loads(str(said))
            message = answered["message"]
            said = f"{answered['status']}: {message if isinstance(message, str) else json.dumps(message)}"
        assert said == expected
        assert isolated.ids(owner.secret, owner.twin) == [owner.twin_face]
        assert isolated.ids(owner.secret, owner.own) == [owner.own_face]
    line = f"| `{call}` | {thing} | {len(pairs)} of {len(pairs)} refused | `{expected}` |"
    print(f"\n{line}")
    assert line in DOCUMENT.read_text()


class TestCounting:
    def test_names_are_counted_for_each_facedb_separately(self, isolated: IsolatedTenants) -> None:
        first, second, third = isolated.tenants
        for tenant in (first, first, second, first):
            said = isolated.call("addface", tenant.secret, img=OTHER_IMG).json()
            assert said["status"] == "OK"
        assert isolated.call("addface", third.secret, img=OTHER_IMG).json()["message"][0]["name"] == "ID0"
        assert isolated.call("addface", second.secret, img=OTHER_IMG).json()["message"][0]["name"] == "ID1"

    def test_a_recreated_facedb_is_empty_and_counts_from_0(self, isolated: IsolatedTenants) -> None:
        tenant = isolated.tenants[0]
        name = uuid.uuid4().hex
        isolated.control(lambda control: control.create_facedb(tenant.tenant, name))
        for number in range(2):
            said = isolated.call("addface", tenant.secret, img=IMG, facedb=name).json()
            assert said["message"][0]["name"] == f"ID{number}"
        isolated.control(lambda control: control.drop_facedb(tenant.tenant, name))
        isolated.control(lambda control: control.create_facedb(tenant.tenant, name))
        said = isolated.call("addface", tenant.secret, img=IMG, facedb=name).json()
        assert said["status"] == "FAIL", "this gateway knows the old one still; what it acknowledges must not be lost"
        end = time.monotonic() + CACHE_S + 2
        while said["status"] == "FAIL" and time.monotonic() < end:
            said = isolated.call("addface", tenant.secret, img=IMG, facedb=name).json()
        assert said["message"][0]["name"] == "ID0"
        assert isolated.ids(tenant.secret, name) == [said["message"][0]["person_id"]]


class TestListing:
    def test_a_key_lists_the_facedbs_and_persons_of_its_tenant(self, isolated: IsolatedTenants) -> None:
        for tenant in isolated.tenants:
            listed = isolated.call("listfacedbs", tenant.secret).json()["message"]
            full = {tenant.own, tenant.twin}
            assert {each["facedb"] for each in listed if not each["facedb"].startswith("twin-")} >= {
                "default",
                tenant.own,
            }
            assert not {each["facedb"] for each in listed} & {o.own for o in isolated.tenants if o is not tenant}
            assert all(each["persons"] == 1 for each in listed if each["facedb"] in full)
            for facedb, face in ((tenant.own, tenant.own_face), (tenant.twin, tenant.twin_face)):
                page = isolated.call("listpersons", tenant.secret, facedb=facedb).json()["message"]
                assert ([person["person_id"] for person in page["persons"]], page["next"]) == ([face], None)


class TestUnique:
    def test_an_add_knows_of_nobody_in_another_facedb(self, isolated: IsolatedTenants) -> None:
        for caller, owner in itertools.permutations(isolated.tenants, 2):
            (entry,) = isolated.call("addface", caller.secret, img=IMG, facedb=owner.twin, unique="80").json()[
                "message"
            ]
            assert list(entry) == ["name", "person_id"]
            deleted = isolated.call("delface", caller.secret, person_id=entry["person_id"], facedb=owner.twin)
            assert deleted.json()["status"] == "OK"
            assert isolated.ids(owner.secret, owner.twin) == [owner.twin_face]


class TestComparing:
    def test_a_comparison_uses_no_facedb(self, isolated: IsolatedTenants) -> None:
        caller, owner, _ = isolated.tenants
        for more in ({}, {"facedb": owner.own}, {"facedb": caller.own}, {"facedb": "a b"}):
            answer = isolated.call("facecompare", caller.secret, **BOTH, **more).json()
            assert answer == {"status": "OK", "message": {"similarity": 100, "result": "SAME PERSON"}}
        assert isolated.ids(caller.secret) == [], "nothing was added to the default facedb"


class TestKeys:
    CALLS = (
        (Scope.ADD, "addface", {"img": OTHER_IMG}),
        (Scope.SEARCH, "searchface", {"img": OTHER_IMG}),
        (Scope.DELETE, "delface", {"person_id": "1"}),
        (Scope.SEARCH, "facecompare", {"img1": IMG, "img2": OTHER_IMG}),
        (Scope.SEARCH, "listpersons", {}),
        (Scope.SEARCH, "getperson", {"person_id": "1"}),
        (Scope.ADD, "updateperson", {"person_id": "1", "name": "x"}),
        (Scope.DELETE, "deleteperson", {"person_id": "1"}),
        (Scope.DELETE, "deleteface", {"person_id": "1", "face_id": "1"}),
        (Scope.SEARCH, "listfacedbs", {}),
    )

    @pytest.mark.parametrize("scope", Scope)
    def test_a_key_may_do_what_its_scope_allows_and_no_more(self, isolated: IsolatedTenants, scope: Scope) -> None:
        tenant = isolated.tenants[1].tenant
        _, secret = isolated.control(lambda control: control.create_key(tenant, "k", scopes=frozenset({scope})))
        for needed, call, parameters in self.CALLS:
            answer = isolated.call(call, secret, **parameters)
            if needed is scope:
                assert answer.status_code == 200
            else:
                assert answer.status_code == 403
                assert answer.json() == {"status": "INVALID_REQUEST", "message": f"this key may not {needed}"}
                unchecked = isolated.call(call, secret, facedb="a b")
                assert unchecked.text == answer.text, "the scope is checked before all else"

    def test_a_revoked_key_is_refused_when_the_cache_has_expired(self, isolated: IsolatedTenants) -> None:
        tenant = isolated.tenants[1].tenant
        key, secret = isolated.control(lambda control: control.create_key(tenant, "k"))
        assert isolated.call("delface", secret, person_id="1").status_code == 200
        isolated.control(lambda control: control.revoke_key(tenant, key.id))
        wait_for(lambda: isolated.call("delface", secret, person_id="1").status_code == 401, CACHE_S + 2)

    def test_an_expired_key_is_refused_like_an_unknown_one(self, isolated: IsolatedTenants) -> None:
        tenant = isolated.tenants[1].tenant
        until = datetime.now(UTC) + timedelta(seconds=3)
        _, secret = isolated.control(lambda control: control.create_key(tenant, "k", expires=until))
        assert isolated.call("delface", secret, person_id="1").status_code == 200
        wait_for(lambda: isolated.call("delface", secret, person_id="1").status_code == 401, 5)
        unknown = isolated.call("delface", NOBODY.secret, person_id="1")
        assert isolated.call("delface", secret, person_id="1").text == unknown.text

    def test_the_keys_of_a_dropped_tenant_are_refused_and_its_faces_are_due(self, isolated: IsolatedTenants) -> None:
        name = f"brief-{uuid.uuid4().hex[:8]}"
        brief = create_holdings(isolated, name, ["twin-nobody", f"twin-{name}"])
        isolated.control(lambda control: control.drop_tenant(name))
        wait_for(lambda: isolated.call("searchface", brief.secret, img=IMG).status_code == 401, CACHE_S + 2)
        due = isolated.control(lambda control: control.redis.zscore("fs:dropped", brief.collection))
        assert due > time.time()

    def test_the_admin_key_is_refused_by_calls(self, isolated: IsolatedTenants) -> None:
        admin_key = (isolated.service.folder / "admin-key").read_text().strip()
        assert isolated.call("delface", admin_key, person_id="1").status_code == 401
