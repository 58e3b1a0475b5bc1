"""`facesearch facedbs`: the face databases of a tenant."""

import json
from pathlib import Path
from typing import cast

import click

from facesearch.cli import names
from facesearch.cli.confidence import confidence
from facesearch.cli.console import (
    data_dir_option,
    format_time,
    json_option,
    print_json,
    print_table,
    reported,
    yes_option,
)
from facesearch.cli.control import change, query
from facesearch.cli.jobs import asked
from facesearch.cli.migrate import migrate
from facesearch.cli.retention import retention
from shared.calls import LIST_FACEDBS
from shared.control import Control, Facedb, ListedFacedb, Tenant
from shared.persons import CountedFacedb


@click.group()
def facedbs() -> None:
    """Create, list, calibrate and drop the face databases of a tenant."""


facedbs.add_command(confidence)
facedbs.add_command(migrate)
facedbs.add_command(retention)


@facedbs.command("create")
@click.argument("name")
@names.tenant_option
@data_dir_option
@json_option
@reported
def create(name: str, tenant: str, data_dir: Path | None, as_json: bool) -> None:
    """Create the empty face database NAME."""
    facedb = change(
        data_dir,
        "facedb.create",
        lambda control: control.create_facedb(tenant, name),
        lambda made: {"tenant": tenant, "facedb": made.name},
    )
    if as_json:
        print_json(facedb)
    else:
        click.echo(f"facedb {facedb.name} of tenant {tenant} created")


@facedbs.command("list")
@names.tenant_option
@click.option("--count", is_flag=True, help="Count the persons and faces of each, which a worker does.")
@data_dir_option
@json_option
@reported
def list_all(tenant: str, count: bool, data_dir: Path | None, as_json: bool) -> None:
    """List the face databases of a tenant."""
    if count:
        _list_counted(tenant, data_dir, as_json)
        return

    async def tenant_and_facedbs(control: Control) -> tuple[Tenant, list[ListedFacedb]]:
        return await control.tenant(tenant), await control.listed(tenant, await control.facedbs(tenant))

    owner, found = query(data_dir, tenant_and_facedbs)
    if as_json:
        print_json(found)
    else:
        migrating = any(facedb.migration for facedb in found)
        rows = [
            (
                facedb.name,
                "yes" if facedb.name == owner.facedb else "",
                format_time(facedb.created),
                "for good" if facedb.retention_days is None else f"{facedb.retention_days} days",
                facedb.collection,
                *([facedb.migration or ""] if migrating else []),
            )
            for facedb in found
        ]
        head = ("FACEDB", "DEFAULT", "CREATED", "KEPT", "COLLECTION", *(["MIGRATION"] if migrating else []))
        print_table(head, rows)


def _list_counted(tenant: str, data_dir: Path | None, as_json: bool) -> None:
    counted = cast("list[CountedFacedb]", asked(data_dir, lambda jobs: jobs.do(LIST_FACEDBS, tenant)))
    if as_json:
        click.echo(json.dumps(counted, indent=2))
    else:
        rows = [
            (each["facedb"], "yes" if each["default"] else "", str(each["persons"]), str(each["faces"]))
            for each in counted
        ]
        print_table(("FACEDB", "DEFAULT", "PERSONS", "FACES"), rows)


@facedbs.command("default")
@click.argument("name", shell_complete=names.facedbs)
@names.tenant_option
@data_dir_option
@reported
def default(name: str, tenant: str, data_dir: Path | None) -> None:
    """Make NAME the face database of requests that name none."""
    change(
        data_dir,
        "facedb.default",
        lambda control: control.set_default_facedb(tenant, name),
        lambda _: {"tenant": tenant, "facedb": name},
    )
    click.echo(f"facedb {name} is the default of tenant {tenant}")


@facedbs.command("drop")
@click.argument("name", shell_complete=names.facedbs)
@names.tenant_option
@data_dir_option
@yes_option
@reported
def drop(name: str, tenant: str, data_dir: Path | None, yes: bool) -> None:
    """Drop the face database NAME with all its faces."""

    async def existing(control: Control) -> Facedb | None:
        await control.tenant(tenant)
        return await control.facedb(tenant, name)

    if query(data_dir, existing) is not None and not yes:
        click.confirm(f"Drop facedb {name} of tenant {tenant} with all its faces?", abort=True, err=True)
    change(
        data_dir,
        "facedb.drop",
        lambda control: control.drop_facedb(tenant, name),
        lambda _: {"tenant": tenant, "facedb": name},
    )
    click.echo(f"facedb {name} of tenant {tenant} dropped; a worker removes its faces within minutes")
