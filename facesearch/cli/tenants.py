"""`facesearch tenants`: tenants with API keys and face databases of their own."""

from pathlib import Path

import click

from facesearch.cli import names
from facesearch.cli.console import (
    data_dir_option,
    format_time,
    json_option,
    print_json,
    print_table,
    remark,
    reported,
    yes_option,
)
from facesearch.cli.control import change, query
from shared.control import Control


@click.group()
def tenants() -> None:
    """Create, list and drop tenants, each with its own API keys and face databases."""


@tenants.command("create")
@click.argument("name")
@data_dir_option
@json_option
@reported
def create(name: str, data_dir: Path | None, as_json: bool) -> None:
    """Create the tenant NAME with an empty face database and no API key."""
    tenant = change(
        data_dir, "tenant.create", lambda control: control.create_tenant(name), lambda made: {"tenant": made.name}
    )
    if as_json:
        print_json(tenant)
    else:
        click.echo(f"tenant {tenant.name} created, with the empty facedb {tenant.facedb}")
        remark(f"a key for it: facesearch keys create --tenant {tenant.name} --name NAME")


@tenants.command("list")
@data_dir_option
@json_option
@reported
def list_all(data_dir: Path | None, as_json: bool) -> None:
    """List all tenants."""
    found = query(data_dir, lambda control: control.tenants())
    if as_json:
        print_json(found)
    else:
        rows = [(tenant.name, tenant.facedb, format_time(tenant.created)) for tenant in found]
        print_table(("TENANT", "DEFAULT FACEDB", "CREATED"), rows)


@tenants.command("webhook-secret")
@click.argument("name", shell_complete=names.tenants)
@click.option("--remove", is_flag=True, help="Remove the secret, and so switch the tenant's webhooks off.")
@data_dir_option
@reported
def webhook_secret(name: str, remove: bool, data_dir: Path | None) -> None:
    """Make a new secret by which webhooks of the tenant NAME are signed, and print it.

    It is printed this once, and replaces the one before at once.
    """
    subject = {"tenant": name}
    if remove:
        change(
            data_dir,
            "tenant.webhook-secret-off",
            lambda control: control.remove_webhook_secret(name),
            lambda _: subject,
        )
        click.echo(f"tenant {name} has no webhook secret")
    else:
        secret = change(
            data_dir, "tenant.webhook-secret", lambda control: control.renew_webhook_secret(name), lambda _: subject
        )
        click.echo(secret)
        remark("it is not shown again; receivers need it to check signatures")


@tenants.command("drop")
@click.argument("name", shell_complete=names.tenants)
@data_dir_option
@yes_option
@reported
def drop(name: str, data_dir: Path | None, yes: bool) -> None:
    """Drop the tenant NAME with its API keys, face databases and faces."""

    async def count(control: Control) -> tuple[int, int]:
        return len(await control.keys(name)), len(await control.facedbs(name))

    keys, facedbs = query(data_dir, count)
    if not yes:
        what = f"tenant {name} with its keys ({keys}) and facedbs ({facedbs}) and all their faces"
        click.confirm(f"Drop {what}?", abort=True, err=True)
    change(data_dir, "tenant.drop", lambda control: control.drop_tenant(name), lambda _: {"tenant": name})
    click.echo(f"tenant {name} dropped; a worker removes its faces within minutes")
