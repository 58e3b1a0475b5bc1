"""`facesearch facedbs`: the face databases of a tenant."""

from pathlib import Path

import click

from facesearch.cli.confidence import confidence
from facesearch.cli.console import (
    data_dir_option,
    format_time,
    json_option,
    print_json,
    print_table,
    reported,
    tenant_option,
    yes_option,
)
from facesearch.cli.control import change, query
from shared.control import Control, Facedb, Tenant


@click.group()
def facedbs() -> None:
    """Create, list, calibrate and drop the face databases of a tenant."""


facedbs.add_command(confidence)


@facedbs.command("create")
@click.argument("name")
@tenant_option
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
@tenant_option
@data_dir_option
@json_option
@reported
def list_all(tenant: str, data_dir: Path | None, as_json: bool) -> None:
    """List the face databases of a tenant."""

    async def tenant_and_facedbs(control: Control) -> tuple[Tenant, list[Facedb]]:
        return await control.tenant(tenant), await control.facedbs(tenant)

    owner, found = query(data_dir, tenant_and_facedbs)
    if as_json:
        print_json(found)
    else:
        rows = [
            (facedb.name, "yes" if facedb.name == owner.facedb else "", format_time(facedb.created), facedb.collection)
            for facedb in found
        ]
        print_table(("FACEDB", "DEFAULT", "CREATED", "COLLECTION"), rows)


@facedbs.command("default")
@click.argument("name")
@tenant_option
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
@click.argument("name")
@tenant_option
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
