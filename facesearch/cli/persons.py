"""`facesearch persons`: who was added to a face database."""

import json
import shlex
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from facesearch.cli import names
from facesearch.cli.console import (
    data_dir_option,
    json_option,
    print_table,
    remark,
    reported,
    shown_time,
    yes_option,
)
from facesearch.cli.jobs import asked, changed
from shared.calls import DELETE_FACE_OF_PERSON, DELETE_PERSON, GET_PERSON, LIST_PERSONS, UPDATE_PERSON
from shared.errors import OperatorError
from shared.persons import MAX_PERSONS, FaceOfPerson, Person, PersonPage, PersonWithFaces

if TYPE_CHECKING:
    from shared.operator_jobs import OperatorJobs

_HEAD: Final = ("PERSON ID", "NAME", "ADDED", "EXTERNAL ID", "METADATA", "FACES")
_FACES_HEAD: Final = ("FACE ID", "ADDED", "SIZE", "SHARPNESS")

facedb_option = click.option(
    "--facedb", help="Name of the face database; left out, the tenant's default.", shell_complete=names.facedbs
)


@click.group()
def persons() -> None:
    """List, show, rename and delete the persons of a face database. A worker must run."""


@persons.command("list")
@names.tenant_option
@facedb_option
@click.option("--name", help="Only persons of exactly this name.")
@click.option("--external-id", help="Only persons with exactly this external id.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=MAX_PERSONS, show_default=True, help="Most persons to list."
)
@data_dir_option
@json_option
@reported
def list_all(
    tenant: str,
    facedb: str | None,
    name: str | None,
    external_id: str | None,
    limit: int,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """List persons, those added first come first."""
    wanted = {"name": name, "external_id": external_id}
    given = {parameter: text for parameter, text in wanted.items() if text is not None}

    async def read(jobs: "OperatorJobs") -> tuple[list[Person], bool]:
        found: list[Person] = []
        cursor: dict[str, str] = {}
        while True:
            size = str(min(MAX_PERSONS, limit - len(found)))
            page = cast("PersonPage", await jobs.do(LIST_PERSONS, tenant, facedb, **given, **cursor, limit=size))
            found += page["persons"]
            if page["next"] is None or len(found) == limit:
                return found, page["next"] is not None
            cursor = {"after": page["next"]}

    found, more = asked(data_dir, read)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print_table(_HEAD, map(_row, found))
    if more:
        remark(f"there are more than {limit}; --limit says how many are listed")


@persons.command("show")
@click.argument("person")
@names.tenant_option
@facedb_option
@data_dir_option
@json_option
@reported
def show(person: str, tenant: str, facedb: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Show PERSON, a person_id, or a name that one person alone has, and its faces."""

    async def read(jobs: "OperatorJobs") -> PersonWithFaces:
        person_id = await _person_id(jobs, tenant, facedb, person)
        return cast("PersonWithFaces", await jobs.do(GET_PERSON, tenant, facedb, person_id=person_id))

    found = asked(data_dir, read)
    _print(found, as_json)
    if not as_json:
        click.echo()
        print_table(_FACES_HEAD, map(_face_row, found["faces"]))


@persons.command("rename")
@click.argument("person")
@click.argument("name")
@names.tenant_option
@facedb_option
@data_dir_option
@json_option
@reported
def rename(person: str, name: str, tenant: str, facedb: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Give PERSON, a person_id or the present name, the name NAME."""

    async def write(jobs: "OperatorJobs") -> Person:
        person_id = await _person_id(jobs, tenant, facedb, person)
        return cast("Person", await jobs.do(UPDATE_PERSON, tenant, facedb, person_id=person_id, name=name))

    _print(changed(data_dir, "person.update", write, tenant, facedb), as_json)


@persons.command("delete")
@click.argument("person")
@names.tenant_option
@facedb_option
@click.option("--face", help="Delete only the face with this face_id, the last one with the person.")
@data_dir_option
@yes_option
@reported
def delete(person: str, tenant: str, facedb: str | None, face: str | None, data_dir: Path | None, yes: bool) -> None:
    """Delete PERSON, a person_id, or a name that one person alone has."""

    async def read(jobs: "OperatorJobs") -> str:
        return await _person_id(jobs, tenant, facedb, person)

    person_id = asked(data_dir, read)
    if not yes:
        what = f"person {person_id}" if face is None else f"face {face} of person {person_id}"
        click.confirm(f"Delete {what} of tenant {tenant}?", abort=True, err=True)

    async def write(jobs: "OperatorJobs") -> None:
        if face is None:
            await jobs.do(DELETE_PERSON, tenant, facedb, person_id=person_id)
        else:
            await jobs.do(DELETE_FACE_OF_PERSON, tenant, facedb, person_id=person_id, face_id=face)

    changed(data_dir, "person.delete" if face is None else "person.delete-face", write, tenant, facedb)
    click.echo(f"person {person_id} deleted" if face is None else f"face {face} deleted")


async def _person_id(jobs: "OperatorJobs", tenant: str, facedb: str | None, person: str) -> str:
    """Return the id of a person. person: it, or a name. Raises OperatorError unless one person alone has the name."""
    try:
        return str(uuid.UUID(person))
    except ValueError:
        page = cast("PersonPage", await jobs.do(LIST_PERSONS, tenant, facedb, name=person, limit="2"))
    if len(page["persons"]) > 1:
        raise OperatorError(
            f"several persons have that name; `facesearch persons list --name {shlex.quote(person)}` lists their ids"
        )
    if not page["persons"]:
        raise OperatorError("nobody has that name, and it is no person_id; `facesearch persons list` lists them")
    return page["persons"][0]["person_id"]


def _print(person: Person | PersonWithFaces, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(person, indent=2, ensure_ascii=False))
    else:
        print_table(_HEAD, [_row(person)])


def _row(person: Person | PersonWithFaces) -> tuple[str, ...]:
    metadata, faces = person.get("metadata"), person["faces"]
    return (
        person["person_id"],
        person["name"],
        shown_time(person["added"]),
        person.get("external_id", ""),
        "" if metadata is None else json.dumps(metadata, ensure_ascii=False),
        str(faces if isinstance(faces, int) else len(faces)),
    )


def _face_row(face: FaceOfPerson) -> tuple[str, ...]:
    quality = face["quality"]
    measured = ("", "") if quality is None else (f"{quality['size']:g}", f"{quality['sharpness']:g}")
    return (face["face_id"], shown_time(face["added"]), *measured)
