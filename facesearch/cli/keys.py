"""`facesearch keys`: the API keys of a tenant."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

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
)
from facesearch.cli.control import change, query
from shared import expiry
from shared.contract import Confidences, HttpStatus
from shared.control import Control, Key, KeyRecord, Scope


@click.group()
def keys() -> None:
    """Create, list and revoke the API keys of a tenant."""


@keys.command("create")
@click.option("--name", required=True, help="Name of the key; need not be unique.")
@names.tenant_option
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What the key may do; may be repeated.  [default: all]",
)
@click.option(
    "--expires",
    default="never",
    show_default=True,
    help="When the key ends: 12h, 30d or 4w from now, 2030-01-31, or never.",
)
@click.option(
    "--rate", type=float, help="Requests a second, at most 1,000,000; 0: no limit.  [default: FACESEARCH_RATE]"
)
@click.option("--concurrency", type=int, help="Requests at once; 0: no limit.  [default: FACESEARCH_CONCURRENCY]")
@click.option(
    "--http-status",
    type=click.Choice(get_args(HttpStatus)),
    help="HTTP code of answers; always-200 is for clients that fail on others.  [default: FACESEARCH_HTTP_STATUS]",
)
@click.option(
    "--confidence",
    type=click.Choice(get_args(Confidences)),
    help="Write confidences with decimals, or rounded down to whole numbers.  [default: FACESEARCH_CONFIDENCE]",
)
@data_dir_option
@json_option
@reported
def create(
    name: str,
    tenant: str,
    scopes: tuple[str, ...],
    expires: str,
    rate: float | None,
    concurrency: int | None,
    http_status: HttpStatus | None,
    confidence: Confidences | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Create an API key and print it; it is not shown again."""
    until = expiry.parse(expires)
    granted = frozenset(map(Scope, scopes)) or frozenset(Scope)
    key, secret = change(
        data_dir,
        "key.create",
        lambda control: control.create_key(
            tenant,
            name,
            scopes=granted,
            expires=until,
            rate=rate,
            concurrency=concurrency,
            http_status=http_status,
            confidence=confidence,
        ),
        lambda made: {"tenant": tenant, "key": made[0].id},
    )
    if as_json:
        print_json(key, key=secret)
    else:
        click.echo(secret)
        remark(f"key {key.id} of tenant {tenant}: may {_scopes(key)}; expires: {format_time(key.expires)}")
        remark("It is shown this once: only a hash of it is kept.")


@keys.command("list")
@names.tenant_option
@click.option("--all", "include_ended", is_flag=True, help="Include revoked and expired keys.")
@data_dir_option
@json_option
@reported
def list_all(tenant: str, include_ended: bool, data_dir: Path | None, as_json: bool) -> None:
    """List the API keys of a tenant, without their secrets."""

    async def list_keys(control: Control) -> Sequence[Key]:
        return await control.key_records(tenant) if include_ended else await control.keys(tenant)

    found = query(data_dir, list_keys)
    if as_json:
        print_json(found)
        return
    head: tuple[str, ...] = ("ID", "NAME", "MAY", "EXPIRES", "RATE", "CONCURRENCY", "ANSWERS", "CREATED")
    print_table((*head, "STATE") if include_ended else head, [_row(key) for key in found], ("", "default"))


@keys.command("revoke")
@click.argument("key_id", metavar="ID", shell_complete=names.keys)
@names.tenant_option
@data_dir_option
@reported
def revoke(key_id: str, tenant: str, data_dir: Path | None) -> None:
    """Revoke the API key with this ID; it stops working within seconds."""
    was_in_file = change(
        data_dir,
        "key.revoke",
        lambda control: control.revoke_key(tenant, key_id),
        lambda _: {"tenant": tenant, "key": key_id},
    )
    click.echo(f"key {key_id} of tenant {tenant} revoked")
    if was_in_file:
        remark("It was the first key: its file is gone too, and the next `facesearch up` makes another.")


def _row(key: Key) -> tuple[str, ...]:
    """Return the cells of a row; a KeyRecord has one more, its state."""
    row = (
        key.id,
        key.name,
        _scopes(key),
        format_time(key.expires),
        _limit(key.rate),
        _limit(key.concurrency),
        _answers(key),
        format_time(key.created),
    )
    return (*row, _state(key)) if isinstance(key, KeyRecord) else row


def _state(key: KeyRecord) -> str:
    return f"revoked {format_time(key.revoked)}" if key.revoked else key.state()


def _scopes(key: Key) -> str:
    return ", ".join(scope for scope in Scope if scope in key.scopes)


def _answers(key: Key) -> str:
    """Return the key's own preferences for its answers."""
    return ", ".join(filter(None, (key.http_status, key.confidence))) or "default"


def _limit(value: float | None) -> str:
    if value is None:
        return "default"
    return f"{value:g}" if value else "any"
