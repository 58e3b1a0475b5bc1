"""`facesearch audit`: what operators changed and, where the call log is on, what callers did."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from redis import RedisError

from facesearch.call_log import reading
from facesearch.call_log.verification import verify as verify_log
from facesearch.cli import names
from facesearch.cli.console import (
    data_dir_option,
    format_time,
    json_option,
    print_json,
    print_paragraph,
    print_table,
    remark,
    reported,
    settings_from,
)
from facesearch.cli.control import query
from facesearch.embedded import stopped_broker
from facesearch.embedded.broker import describe_failure
from shared import audit as trail
from shared.call_log import heads
from shared.call_log.chain import Entry, Seal
from shared.errors import OperatorError
from shared.settings import Settings

_folders = click.argument(
    "folders", metavar="[DIR]...", nargs=-1, type=click.Path(path_type=Path, file_okay=False, readable=False)
)


@click.group(invoke_without_command=True)
@click.option("--last", default=100, show_default=True, type=click.IntRange(1), help="Number of events.")
@data_dir_option
@json_option
@click.pass_context
@reported
def audit(context: click.Context, last: int, data_dir: Path | None, as_json: bool) -> None:
    """List recent changes of tenants, keys and face databases, and attempts with a wrong admin key. Oldest first.

    The service keeps the last 10000 changes, made through the admin API or by a command, and the last 1000 attempts.
    The commands below are about the call log (FACESEARCH_CALL_LOG).
    """
    if context.invoked_subcommand is not None:
        if data_dir is not None or as_json:
            raise click.UsageError(f"write the options behind `{context.invoked_subcommand}`", context)
        return
    found = query(data_dir, lambda control: trail.last(control.redis, last))
    if as_json:
        print_json(found)
    else:
        print_table(("WHEN", "ACTION", "WHAT", "BY"), [_row(event) for event in found])


@audit.command("verify")
@_folders
@click.option(
    "--heads",
    "kept",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Heads that `facesearch audit heads` printed earlier, to be checked beside those in the broker.",
)
@click.option(
    "--former-keys",
    "former",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Earlier values of FACESEARCH_CALL_LOG_KEY, one on each line; an empty line stands for no key.",
)
@click.option("--without-broker", is_flag=True, help="Check the files, and the heads of --heads, alone.")
@data_dir_option
@json_option
@reported
def verify(
    folders: tuple[Path, ...],
    kept: Path | None,
    former: Path | None,
    without_broker: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Check that no entry of the call log was changed, removed, moved or added.

    DIR: the folders of all gateways, by default that of the settings. The service may be running or stopped. With a
    FACESEARCH_CALL_LOG_KEY, set it here, too. Prints a line for each problem, and exits with status 1 if there is any.
    """
    settings = settings_from(data_dir=data_dir)
    known = None if kept is None else _kept(kept)
    if not without_broker:
        known = [*(known or ()), *_in_broker(settings)]
    seal = Seal.of(settings.call_log_key)
    others = [] if former is None else [Seal(line.encode() or None) for line in _lines(former)]
    report = verify_log(folders or (settings.call_log_folder,), seal, known, settings.call_log_days, others)
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2))
        sys.exit(1 if report.problems else 0)
    for line in report.remarks:
        remark(f"note: {line}")
    for line in report.problems:
        print_paragraph(line)
    what = f"{report.entries} entries in {report.chains} chains"
    click.echo(f"{len(report.problems)} problems; {what}" if report.problems else f"no problem; {what}")
    sys.exit(1 if report.problems else 0)


@audit.command("heads")
@data_dir_option
@reported
def print_heads(data_dir: Path | None) -> None:
    """Print the newest entry of each chain of the call log, a line of JSON each.

    Kept where nobody who can write the log and the broker can write, they show whether both were changed:
    `facesearch audit verify --heads FILE`.
    """
    for head in _in_broker(settings_from(data_dir=data_dir)):
        click.echo(head.model_dump_json())


@audit.command("calls")
@_folders
@click.option("--person-id", help="Calls that asked for this person, or were answered with it.")
@click.option("--call", help="Calls of this name, such as searchface.")
@click.option("--tenant", help="Calls of this tenant.", shell_complete=names.tenants)
@click.option("--key", help="Calls with the key of this id.")
@click.option(
    "--since",
    type=click.DateTime(("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S")),
    metavar="TIME",
    help="Calls from this time (UTC) on, such as 2026-11-01 or 2026-11-01T09:30:00.",
)
@data_dir_option
@reported
def calls(
    folders: tuple[Path, ...],
    person_id: str | None,
    call: str | None,
    tenant: str | None,
    key: str | None,
    since: datetime | None,
    data_dir: Path | None,
) -> None:
    """Print calls of the call log, a line of JSON each, chain by chain.

    DIR: the folders of all gateways, by default that of the settings. What is printed is not checked: `facesearch audit
    verify` does that.
    """
    settings = settings_from(data_dir=data_dir)
    wanted = {name: value for name, value in (("call", call), ("tenant", tenant), ("key", key)) if value is not None}
    begin = None if since is None else since.replace(tzinfo=UTC)
    unreadable = 0
    for _, files in reading.chains(folders or (settings.call_log_folder,)):
        for _, path in files:
            for line in reading.lines(path):
                if line.entry is None:
                    unreadable += 1
                elif _is_wanted(line.entry, begin, person_id, wanted):
                    click.echo(line.entry.content + b"}")
    if unreadable:
        remark(f"note: {unreadable} lines are no entries; `facesearch audit verify` says where")


def _is_wanted(entry: Entry, since: datetime | None, person_id: str | None, wanted: dict[str, str]) -> bool:
    if entry.event not in ("call", "refused") or (since is not None and entry.at < since):
        return False
    fields = entry.fields
    if person_id is not None and person_id.lower() not in _persons(entry):
        return False
    return all(fields.get(name) == value for name, value in wanted.items())


def _persons(entry: Entry) -> set[str]:
    return {str(each).lower() for each in (entry.fields.get("person_id"), *entry.fields.get("person_ids", ()))}


def _in_broker(settings: Settings) -> list[heads.Head]:
    try:
        with stopped_broker.connected(settings, remark) as (redis, _):
            return heads.read(redis.hvals(heads.HEADS))
    except RedisError as error:
        raise OperatorError(describe_failure(settings, error)) from None
    except ValueError as error:
        raise OperatorError(f"the broker has a record that is {error}") from None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise OperatorError(f"{path} is no text; name another file") from None


def _kept(path: Path) -> list[heads.Head]:
    try:
        return heads.read(_lines(path))
    except ValueError as error:
        raise OperatorError(f"{path} has a line that is {error}") from None


def _row(event: trail.Kept) -> tuple[str, ...]:
    kinds = ("tenant", "facedb", "key", "attempts", "days", "persons")
    subjects = ((kind, getattr(event, kind)) for kind in kinds)
    what = ", ".join(f"{kind} {value}" for kind, value in subjects if value is not None)
    return format_time(event.at), event.action, what, event.by
