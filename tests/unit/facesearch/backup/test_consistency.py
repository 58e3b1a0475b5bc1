"""Each kind of damage in control data is reported, and consistent data has no problems."""

import json
from collections.abc import Callable

import pytest

from facesearch.backup.consistency import Consistency
from facesearch.backup.control_data import Entry, collections_in

WHEN = "2026-01-31T12:00:00Z"
DIGEST = "a" * 64
COLLECTION = "shop.default.00000000"

Data = dict[str, Entry]


def record(**fields: object) -> str:
    return json.dumps({**fields, "created": WHEN})


MIGRATION = {
    "collection": "shop.staff.00000000",
    "state": "switched",
    "current": {"name": "shop.staff.11111111", "identity": "new:00:v1003:4"},
    "other": {"name": "shop.staff.00000000", "identity": "old:00:v1003:4"},
    "leftovers": [{"name": "shop.staff.22222222", "identity": "older:00:v1003:4", "due": 1.0}],
    "begun": WHEN,
    "changed": WHEN,
    "by": "me",
}
RETENTION = {"created": WHEN, "days": 30, "since": WHEN, "changed": WHEN, "by": "me"}


def consistent_data() -> Data:
    """Return control data of a tenant with a key and two facedbs."""
    key = record(id="0123456789ab", tenant="shop", name="till", scopes=["add"])
    entries = [
        Entry("fs:tenants", "set", ["shop"]),
        Entry("fs:tenant:shop", "string", record(name="shop", facedb="default")),
        Entry("fs:tenant-ids", "hash", {"shop": "0123456789abcdef"}),
        Entry("fs:keys:shop", "hash", {"0123456789ab": DIGEST, "expired00000": "b" * 64}),
        Entry(f"fs:key:{DIGEST}", "string", key),
        Entry("fs:key-records", "hash", {"0123456789ab": key}),
        Entry("fs:facedbs:shop", "set", ["default", "staff"]),
        Entry("fs:facedb:shop:default", "string", record(name="default", collection=COLLECTION)),
        Entry("fs:facedb:shop:staff", "string", record(name="staff", collection="shop.staff.00000000")),
        Entry(
            "fs:confidence:shop:staff",
            "string",
            json.dumps({"collection": "shop.staff.00000000", "version": 1, "changed": WHEN, "by": "me"}),
        ),
        Entry("fs:retention:shop:staff", "string", json.dumps(RETENTION)),
        Entry("fs:migrations", "hash", {"shop.staff.00000000": json.dumps(MIGRATION)}),
        # Left by an earlier release, which dropped the facedb.
        Entry(
            "fs:confidence:shop:gone",
            "string",
            json.dumps({"collection": "shop.gone.00000000", "version": 1, "changed": WHEN, "by": "me"}),
        ),
        Entry("fs:dropped", "zset", {"shop.gone.00000000": 1.0}),
        Entry("fs:dropped-tenants", "zset", {"fedcba9876543210": 1.0}),
        Entry("fs:webhook-secrets", "hash", {"fedcba9876543210": "whsec_x"}),
        Entry("fs:first-key", "string", DIGEST),
        Entry(f"fs:names:{COLLECTION}", "string", "12"),
        Entry("fs:usage:days", "set", ["2026-01-31"]),
        Entry("fs:usage:2026-01-31", "hash", {"shop|0123456789ab|addface|OK": "3"}),
        Entry("fs:once:shop:cafe", "hash", {"asked": "x"}, 1),
    ]
    return {entry.key: entry for entry in entries}


def put(key: str, value: object) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        data[key] = Entry(key, data[key].type if key in data else "string", value)  # type: ignore[arg-type]

    return change


def remove(key: str) -> Callable[[Data], None]:
    return lambda data: data.pop(key) and None


DAMAGES = {
    "a tenant without its record": (remove("fs:tenant:shop"), "tenant shop: its record is not there"),
    "a damaged tenant": (put("fs:tenant:shop", "{"), "tenant shop: its record is damaged"),
    "another's record": (put("fs:tenant:shop", record(name="bank", facedb="default")), "its record is of bank"),
    "no default facedb": (put("fs:tenant:shop", record(name="shop", facedb="x")), "default facedb x is not there"),
    "a tenant that is not listed": (put("fs:tenant:bank", record(name="bank", facedb="x")), "there is no tenant bank"),
    "a damaged calibration of a facedb": (
        put("fs:confidence:shop:staff", "{"),
        "fs:confidence:shop:staff: its record is damaged, so searches there use the model's calibration",
    ),
    "a damaged retention": (
        put("fs:retention:shop:staff", json.dumps(RETENTION | {"days": 0})),
        "fs:retention:shop:staff: its record is damaged, so faces there are kept for good",
    ),
    "a damaged migration": (
        put("fs:migrations", {"shop.staff.00000000": json.dumps(MIGRATION | {"current": None})}),
        "fs:migrations has for shop.staff.00000000 what is no migration: all searches fail",
    ),
    "a damaged id": (put("fs:tenant-ids", {"shop": "a:b"}), "fs:tenant-ids has for tenant shop what is no id"),
    "one id of two": (
        put("fs:tenant-ids", {"shop": "a", "bank": "a"}),
        "fs:tenant-ids has the id of tenant bank twice",
    ),
    "a facedb without its record": (remove("fs:facedb:shop:staff"), "facedb staff of tenant shop: its record is not"),
    "a damaged facedb": (put("fs:facedb:shop:staff", "{}"), "facedb staff of tenant shop: its record is damaged"),
    "a facedb without a tenant": (
        put("fs:facedb:bank:x", record(name="x", collection="c")),
        "no tenant has this facedb",
    ),
    "a facedb that is not listed": (put("fs:facedbs:shop", ["default"]), "fs:facedb:shop:staff: no tenant has this"),
    "one collection of two": (
        put("fs:facedb:shop:staff", record(name="staff", collection=COLLECTION)),
        "is another facedb's too",
    ),
    "a collection that goes": (put("fs:dropped", {COLLECTION: 1.0}), "its collection is to be removed"),
    "a damaged key": (put(f"fs:key:{DIGEST}", "{"), "key 0123456789ab of tenant shop: its record is damaged"),
    "a key that cannot be revoked": (put("fs:keys:shop", {"other": "b" * 64}), "works and is in no list"),
    "a damaged record of a key": (put("fs:key-records", {"0123456789ab": "{"}), "is no record of it"),
    "another key's record": (
        put("fs:key-records", {"ffffffffffff": record(id="0123456789ab", tenant="t", name="n", scopes=["add"])}),
        "fs:key-records has ffffffffffff, which is no record of it",
    ),
    "a counter of names": (put(f"fs:names:{COLLECTION}", "many"), "is no number"),
    "a day": (put("fs:usage:days", ["2026-01-31", "today"]), "'today', which is no day"),
    "a counter of usage": (put("fs:usage:2026-01-31", {"shop|x": "3"}), "has a counter that is none"),
    "a first key": (put("fs:first-key", "secret"), "fs:first-key is no SHA-256"),
    "a wrong type": (lambda data: data.update({"fs:tenants": Entry("fs:tenants", "string", "x")}), "not a set"),
}


def test_consistent_control_data_has_no_problems() -> None:
    control = Consistency(consistent_data().values())
    assert list(control.problems()) == []
    migrated = {f"shop.staff.{number * 8}" for number in "012"}
    assert control.collections == dict.fromkeys({COLLECTION, *migrated}, "shop")
    assert control.owners == dict.fromkeys(migrated, "shop.staff.00000000")
    assert control.dropped == {"shop.gone.00000000"}
    assert list(Consistency([]).problems()) == []


def test_a_backup_has_both_collections_of_a_migrated_facedb_and_not_what_is_to_be_removed() -> None:
    entries = list(consistent_data().values())
    assert sorted(collections_in(entries)) == [COLLECTION, "shop.staff.00000000", "shop.staff.11111111"]


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_each_kind_of_damage_is_reported(damage: str) -> None:
    change, problem_text = DAMAGES[damage]
    data = consistent_data()
    change(data)
    problems = list(Consistency(data.values()).problems())
    assert any(problem_text in problem for problem in problems), problems
    assert all("\n" not in problem for problem in problems)


def test_no_problem_shows_the_hash_of_a_key() -> None:
    for change, _ in DAMAGES.values():
        data = consistent_data()
        change(data)
        assert DIGEST not in "".join(Consistency(data.values()).problems())
