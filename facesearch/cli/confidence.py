"""`facesearch facedbs confidence`: how often strangers of a facedb reach a confidence, and a calibration of its own."""

import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import click
from redis import Redis, RedisError

from facesearch.backup import estimates
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
from facesearch.cli.control import author, change
from facesearch.cli.progress import stages
from facesearch.embedded import stopped_broker
from facesearch.embedded.broker import describe_failure
from shared.confidence import Estimate, Level
from shared.control import Confidence, Control, Facedb, Unknown
from shared.control.layout import confidence_key, facedb_key, readable
from shared.errors import OperatorError

SAID: Final = 80
"""Least confidence of which it is said how often strangers reach it: no search lists one below."""

RAREST: Final = 1e-9
"""Rate below which only that is said: it is extrapolated too far for a figure."""

_HEAD: Final = ("CONFIDENCE", "MEANT", "HERE", "95 % INTERVAL", "MEASURED BY", "ASK FOR")

_CHANGES: Final = (
    "This changes the answers of searches in this facedb within 3 seconds; facecompare keeps the model's calibration. "
    "--undo goes back to what it was before."
)


@click.command("confidence")
@click.argument("name", shell_complete=names.facedbs)
@names.tenant_option
@click.option(
    "--write", "what", flag_value="write", help="Calibrate the confidences of NAME by this estimate from now on."
)
@click.option("--remove", "what", flag_value="remove", help="Use the model's calibration again.")
@click.option("--undo", "what", flag_value="undo", help="Use the calibration from before the last change.")
@data_dir_option
@json_option
@reported
def confidence(name: str, tenant: str, what: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Estimate how often strangers in the face database NAME reach 80, 90 and 95.

    The estimate needs 500 faces, no photos and no labels. The service may be running or, without an option that
    changes something, stopped.
    """
    if what in ("remove", "undo"):
        _change_back(name, tenant, what, data_dir, as_json)
        return
    found, record = _estimate(name, tenant, data_dir, must_run=what == "write")
    if what == "write":
        collection, estimate = found
        record = _changed(
            data_dir,
            "facedb.calibrate",
            lambda control: control.keep_confidence(tenant, name, collection, estimate, author()),
            tenant,
            name,
        )
    if as_json:
        kept = {} if record is None else {"kept": record.model_dump(mode="json")}
        print_json(found[1], **kept)
        return
    _print(name, tenant, found[1])
    if what == "write":
        print_paragraph(f"\nKept: confidences mean in this facedb what they are meant to. {_CHANGES}")
    else:
        print_paragraph(f"\n{_given_by(record)} Nothing was changed: --write gives its confidences by this estimate.")


def _change_back(name: str, tenant: str, what: str, data_dir: Path | None, as_json: bool) -> None:
    by = author()
    if what == "remove":
        record = _changed(
            data_dir, "facedb.uncalibrate", lambda control: control.remove_confidence(tenant, name, by), tenant, name
        )
    else:
        record = _changed(
            data_dir, "facedb.undo-calibrate", lambda control: control.undo_confidence(tenant, name, by), tenant, name
        )
    if as_json:
        print_json(record)
    else:
        print_paragraph(f"{_given_by(record)} {_CHANGES}")


def _changed(
    data_dir: Path | None,
    action: str,
    operation: Callable[[Control], Awaitable[Confidence]],
    tenant: str,
    name: str,
) -> Confidence:
    return change(data_dir, action, operation, lambda _: {"tenant": tenant, "facedb": name})


def _estimate(
    name: str, tenant: str, data_dir: Path | None, must_run: bool
) -> tuple[tuple[str, Estimate], Confidence | None]:
    """Return the facedb's collection with the estimate, and the record of its confidences."""
    settings = settings_from(data_dir=data_dir)
    try:
        with stopped_broker.connected(settings, remark) as (redis, home):
            if must_run and home is not None:
                raise OperatorError(
                    f"the service on {home} is stopped, and --write needs it: start it with `facesearch up`"
                )
            collection = _collection(redis, tenant, name)
            with stages() as shown:
                found = estimates.estimate(settings, redis, home, collection, shown.show)
            records = readable(Confidence, [redis.get(confidence_key(tenant, name))])  # type: ignore[list-item]
            return (collection, found), next((one for one in records if one.collection == collection), None)
    except RedisError as error:
        raise OperatorError(describe_failure(settings, error)) from None


def _collection(redis: Redis, tenant: str, name: str) -> str:
    for facedb in readable(Facedb, [redis.get(facedb_key(tenant, name))]):  # type: ignore[list-item]
        return facedb.collection
    raise Unknown.facedb(tenant, name)


def _print(name: str, tenant: str, found: Estimate) -> None:
    sampled = f"{found.faces:,} of its " if found.faces < found.stored else ""
    line = f"facedb {name} of tenant {tenant}: {sampled}{found.stored:,} faces, {found.pairs:,} pairs of strangers"
    if found.repeated:
        line += f". {found.repeated:,} faces are taken for further photos of people who are there already"
    print_paragraph(f"{line}.")
    click.echo()
    levels = [level for level in found.levels if level.confidence >= SAID]
    for level in levels:
        print_paragraph(sentence(level))
    click.echo()
    print_table(_HEAD, map(_row, levels))


def sentence(level: Level) -> str:
    """Return what is said of a confidence."""
    if not level.told:
        return f"Of {level.confidence} nothing can be said: there are too few faces."
    rate = f"{level.confidence} is reached by {one_in(level.rate, 'stranger')} ({_interval(level)})"
    if level.low <= level.meant <= level.high:
        return f"{rate}, and {one_in(level.meant)} is meant: it holds here."
    return (
        f"{rate}, where {one_in(level.meant)} is meant. For what {level.confidence} means elsewhere, ask for "
        f"{_ask(level)} here."
    )


def one_in(rate: float, what: str = "") -> str:
    """Return a rate as `1 in 190`, in two figures; with what is counted as `1 stranger in 190`."""
    return f"1 {what + ' ' if what else ''}in {_rounded(rate)}"


def _rounded(rate: float) -> str:
    """Return how many there are for one, in two figures."""
    if rate < RAREST:
        return f"over {1 / RAREST:,.0f}"
    value = 1 / rate
    digits = max(0, math.floor(math.log10(value)) - 1)
    return f"{round(value, -digits):,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def _interval(level: Level) -> str:
    return f"{_rounded(level.high)} to {_rounded(level.low)}"


def _ask(level: Level) -> str:
    """Return the confidence to ask for, rounded up: never one that more strangers reach."""
    return f"{math.ceil(round(level.ask * 10, 6)) / 10:g}"


def _row(level: Level) -> tuple[str, ...]:
    if not level.told:
        return (str(level.confidence), one_in(level.meant), "?", "", "", "?")
    by = "count" if level.counted else "tail"
    return (str(level.confidence), one_in(level.meant), one_in(level.rate), _interval(level), by, _ask(level))


def _given_by(record: Confidence | None) -> str:
    if record is None or record.table is None:
        return "The confidences of this facedb are given by the model's calibration."
    table = record.table
    return (
        f"The confidences of this facedb are given by a calibration of {table.faces:,} of its faces, of "
        f"{format_time(table.measured)} by {table.by}."
    )
