"""`facesearch webhooks`: deliveries of outcomes to callers' servers."""

import json
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
)
from facesearch.cli.control import change, query
from shared.webhooks.dead import dead, revive


@click.group()
def webhooks() -> None:
    """List the webhooks that were given up, and have them tried again."""


@webhooks.command("dead")
@names.tenant_option
@click.option("--retry", is_flag=True, help="Have all of them tried again, for a day.")
@data_dir_option
@json_option
@reported
def list_dead(tenant: str, retry: bool, data_dir: Path | None, as_json: bool) -> None:
    """List the webhooks of a tenant that were given up, the newest first.

    They are kept for 30 days, the newest 1,000. Of a URL only the host is shown, since the rest may be secret.
    """
    if retry:
        count = change(
            data_dir, "webhooks.retry", lambda control: revive(control, tenant), lambda _: {"tenant": tenant}
        )
        click.echo(json.dumps({"retried": count}) if as_json else f"{count} are tried again")
        return
    found = query(data_dir, lambda control: dead(control, tenant))
    if as_json:
        print_json(found)
        return
    rows = [
        (each.job_id, each.host, each.status, str(each.attempts), format_time(each.died), each.why) for each in found
    ]
    print_table(("JOB ID", "HOST", "STATUS", "ATTEMPTS", "GIVEN UP", "WHY"), rows)
    if found:
        remark("--retry has them tried again")
