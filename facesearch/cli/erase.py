"""`facesearch erase`: erase a person, and remove deleted faces from every file of the service, which otherwise happens
later (docs/erasure.md).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from redis import Redis, RedisError

from facesearch.backup import erasure
from facesearch.backup.holders import Holder, holders
from facesearch.cli import names
from facesearch.cli.console import (
    data_dir_option,
    format_time,
    print_paragraph,
    remark,
    reported,
    settings_from,
    yes_option,
)
from facesearch.cli.control import record_event
from facesearch.cli.jobs import asked, changed
from facesearch.cli.progress import stages
from facesearch.embedded import stopped_broker
from facesearch.embedded.broker import describe_failure
from shared import person_erasure
from shared.control import DROPPED
from shared.control.layout import now as time_now
from shared.errors import OperatorError
from shared.person_erasure import Deleted

if TYPE_CHECKING:
    from shared.operator_jobs import OperatorJobs


@click.command()
@click.option("--now", is_flag=True, help="Erase. Without this option or a person the command only reports what waits.")
@click.option("--external-id", help="Delete all persons with exactly this external id, and erase.")
@click.option("--name", help="Delete all persons of exactly this name, and erase.")
@names.tenant_option
@click.option(
    "--facedb", help="Face database of these persons; left out, all of the tenant.", shell_complete=names.facedbs
)
@click.option(
    "--backups",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Backup, or folder of backups, to look for these persons in. May be repeated.",
)
@click.option(
    "--keep", type=click.IntRange(1), metavar="N", help="Number of backups that are kept there, as for `backup`."
)
@yes_option
@data_dir_option
@reported
def erase(
    now: bool,
    external_id: str | None,
    name: str | None,
    tenant: str,
    facedb: str | None,
    backups: Sequence[Path],
    keep: int | None,
    yes: bool,
    data_dir: Path | None,
) -> None:
    """Erase persons, and remove deleted faces and dropped face databases from every file of the service.

    With --external-id or --name it first asks, and deletes these persons, for which the service must run. It prints a
    record for the person who wished to be erased. With --now alone the service may be running or stopped.

    The command rewrites the files of faces, removes dropped face databases at once, erases kept answers that name a
    deleted face, and makes the broker rewrite its append-only file. Backups are not touched.
    """
    given = {"external_id": external_id, "name": name}
    wanted = {kind: text for kind, text in given.items() if text is not None}
    if len(wanted) > 1:
        raise click.UsageError("--external-id and --name exclude each other")
    if "" in wanted.values():
        raise click.UsageError("an external id or a name that is empty would mean everybody without one")
    if wanted:
        _erase_persons(wanted, tenant, facedb, backups, keep, yes, data_dir)
    elif facedb is not None or backups or keep is not None:
        raise click.UsageError("--facedb, --backups and --keep need --external-id or --name")
    else:
        _erase_files(data_dir, now)


def _erase_files(data_dir: Path | None, now: bool) -> None:
    settings = settings_from(data_dir=data_dir)
    try:
        with stopped_broker.connected(settings, remark) as (redis, home):
            if not now:
                _say_what_waits(redis)
                return
            redis.ping()  # what does not begin is no event
            record_event(redis, "erase")
            with stages() as shown:

                def say(line: str) -> None:
                    shown.end()
                    print_paragraph(line)

                erasure.erase(settings, redis, home, say, shown.say, shown.show)
    except RedisError as error:
        raise OperatorError(f"{describe_failure(settings, error)}; not everything was erased: do it again") from None


def _say_what_waits(redis: Redis) -> None:
    click.echo(f"{redis.zcard(DROPPED)} dropped facedbs wait to be removed.")
    print_paragraph("Nothing was erased. `facesearch erase --now` does it; docs/erasure.md says what stays until then.")


def _erase_persons(
    wanted: dict[str, str],
    tenant: str,
    facedb: str | None,
    backups: Sequence[Path],
    keep: int | None,
    yes: bool,
    data_dir: Path | None,
) -> None:
    what = next(iter(wanted)).replace("_", " ")
    found = _find(wanted, tenant, facedb, data_dir)
    if not found:
        raise OperatorError(
            f"nobody in {f'facedb {facedb}' if facedb else 'any facedb'} of tenant {tenant} has that {what}, and "
            "nothing was erased; the bytes of persons who were deleted before go with `facesearch erase --now`"
        )
    for one, person_ids in found.items():
        remark(f"facedb {one}: {', '.join(person_ids)}")
    count = sum(map(len, found.values()))
    if not yes:
        click.confirm(f"Erase {_persons(count)} of tenant {tenant} with that {what}?", abort=True, err=True)

    print_paragraph(
        f"Erasure of the persons of tenant {tenant} with the {what} that was given, {format_time(time_now())}"
    )
    ids: list[str] = []
    for one in found:
        done = _delete(wanted, tenant, one, data_dir)
        ids += done.person_ids
        print_paragraph(f"facedb {one}: deleted {_persons(len(done.person_ids))}{_listed(done.person_ids)}")
        if done.reason:
            raise OperatorError(f"not everybody is deleted: {done.reason}; do it again")
    try:
        _erase_files(data_dir, now=True)
    except OperatorError as error:
        raise OperatorError(f"they are deleted, and their bytes are not all erased: {error}") from None
    _say_which_backups(backups, keep, ids)


def _find(wanted: dict[str, str], tenant: str, facedb: str | None, data_dir: Path | None) -> dict[str, list[str]]:
    """Return the ids of the persons who have what is wanted, by facedb, without facedbs that have none."""

    async def search(jobs: "OperatorJobs") -> dict[str, list[str]]:
        return await person_erasure.find_all(jobs, tenant, facedb, wanted)

    return asked(data_dir, search)


def _delete(wanted: dict[str, str], tenant: str, facedb: str, data_dir: Path | None) -> Deleted:
    async def delete(jobs: "OperatorJobs") -> Deleted:
        return await person_erasure.delete(jobs, tenant, facedb, wanted)

    return changed(
        data_dir, "person.erase", delete, tenant, facedb, lambda done: {"persons": str(len(done.person_ids))}
    )


def _persons(count: int) -> str:
    return f"{count:,} person{'' if count == 1 else 's'}"


def _listed(person_ids: Sequence[str]) -> str:
    return f" ({', '.join(person_ids)})" if person_ids else ""


def _say_which_backups(backups: Sequence[Path], keep: int | None, person_ids: Sequence[str]) -> None:
    if not backups:
        print_paragraph("Name them with --backups to hear which, and remove them, or wait until they are replaced.")
        return
    found = [holder for folder in backups for holder in holders(folder, person_ids)]
    for holder in found:
        print_paragraph(_holder(holder, keep), indent=2)
    if not found:
        click.echo("None of the backups that were named has them.")


def _holder(holder: Holder, keep: int | None) -> str:
    has = "has them" if holder.sure else "holds snapshots, which cannot be searched, and may have them"
    until = "until it is removed"
    if keep is not None:
        more = max(1, keep - holder.newer)
        until = (
            f"until {more} more backup{'' if more == 1 else 's'} with --keep {keep} {'is' if more == 1 else 'are'} made"
        )
    return f"{holder.folder}, of {format_time(holder.created)}, {has} {until}."
