"""`facesearch facedbs migrate`: another model for a facedb, from the caller's photos, without an outage."""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from facesearch.cli import names
from facesearch.cli.console import (
    data_dir_option,
    json_option,
    print_json,
    print_paragraph,
    print_table,
    remark,
    reported,
    settings_from,
)
from facesearch.cli.control import author, change, query
from facesearch.cli.progress import progress
from shared.control import Compared, Control, Migration
from shared.errors import OperatorError

if TYPE_CHECKING:
    from facesearch.migration.photos import Persons
    from shared.settings import Settings

SHOWN: Final = 10

What = Literal["switch", "rollback", "finish", "cancel"]

DONE: Final[dict[What, tuple[str, str]]] = {
    "switch": (
        "facedb.switch-model",
        (
            "Searches use the new model from now on, within a second. The former faces are kept, and what is added "
            "goes to both: --rollback goes back, --finish gives them up."
        ),
    ),
    "rollback": ("facedb.roll-model-back", "Searches use the former model again, within a second. --switch switches."),
    "finish": ("facedb.finish-migration", "The faces of the former model are given up; a worker removes them."),
    "cancel": ("facedb.cancel-migration", "The migration is given up; a worker removes what was filled."),
}
"""The audit action of each step, and what is said of it."""


@click.command("migrate")
@click.argument("name", shell_complete=names.facedbs)
@names.tenant_option
@click.option("--photos", type=click.Path(path_type=Path), help="Folder, ZIP or CSV file with photos of the persons.")
@click.option(
    "--names",
    "names_from",
    type=click.Choice(["folder", "file"]),
    help="Where the name of the person on a photo comes from, in a folder or ZIP file.  [default: folder]",
)
@click.option("--by-face", is_flag=True, help="Find out who is on each photo by the stored faces, not by names.")
@click.option("--switch", "what", flag_value="switch", help="Search the faces of the new model from now on.")
@click.option("--rollback", "what", flag_value="rollback", help="Search the faces of the former model again.")
@click.option("--finish", "what", flag_value="finish", help="Give up the faces of the former model, after a switch.")
@click.option("--cancel", "what", flag_value="cancel", help="Give up the faces of the new model, before a switch.")
@click.option("--allow-missing", is_flag=True, help="Switch although persons are missing, who will not be found.")
@click.option("--force", is_flag=True, help="Switch although the new model was not compared, or is worse.")
@click.option(
    "--missing", type=click.Path(path_type=Path), help="CSV file for persons who lack a face of the new model."
)
@click.option("--report", type=click.Path(path_type=Path), help="CSV file for the photos that were not used, and why.")
@click.option(
    "--workers", type=click.IntRange(1, 512), default=16, show_default=True, help="Photos sent at once, at most."
)
@data_dir_option
@json_option
@reported
def migrate(
    name: str,
    tenant: str,
    photos: Path | None,
    names_from: "Literal['folder', 'file'] | None",
    by_face: bool,
    what: What | None,
    allow_missing: bool,
    force: bool,
    missing: Path | None,
    report: Path | None,
    workers: int,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Move the face database NAME to another model, from your photos. The service keeps none.

    Searches, adds and deletions go on throughout. Workers need both models: FACESEARCH_EMBEDDER, the new one, and
    FACESEARCH_SECOND_EMBEDDER. Persons keep their ids, names, attributes and times. A face is taken from a photo only
    if the former model finds the stored face of that person in it. An interrupted run goes on when it is run again. The
    exit status of a run with --photos is 0 only if nobody is missing.
    """
    if photos is not None and what is not None:
        raise OperatorError(f"--photos and --{what} are two steps: run the command twice")
    settings = settings_from(data_dir=data_dir)
    # These take a part of a second; `--help` need not wait for that.
    from facesearch.migration import running  # noqa: PLC0415 -- see above

    if photos is not None:
        _fill(name, tenant, photos, names_from, by_face, workers, settings, report)
    elif what is not None:
        if what in ("switch", "rollback"):
            _require_complete(name, tenant, settings, missing, allow_missing=allow_missing)
        _, migration = query(data_dir, lambda control: running.found(control, tenant, name))
        if what == "switch" and not force:
            running.require_as_good(migration)
        _step(name, tenant, what, data_dir)
        if not as_json:
            print_paragraph(DONE[what][1])
            return
    _, migration = query(data_dir, lambda control: running.found(control, tenant, name))
    if as_json:
        print_json([] if migration is None else [migration])
        return
    _print(name, tenant, migration)
    if migration is not None and migration.other is not None:
        persons = query(data_dir, lambda control: running.persons_of(control, settings, tenant, name))
        _say_missing(persons, missing)
        sys.exit(1 if photos is not None and persons.missing else 0)


def _step(name: str, tenant: str, what: What, data_dir: Path | None) -> None:
    by = author()

    async def step(control: Control) -> Migration:
        match what:
            case "switch":
                return await control.switch_migration(tenant, name, by)
            case "rollback":
                return await control.roll_migration_back(tenant, name, by)
            case "finish":
                return await control.end_migration(tenant, name, "switched", by)
            case "cancel":
                return await control.end_migration(tenant, name, "filling", by)

    change(data_dir, DONE[what][0], step, lambda _: {"tenant": tenant, "facedb": name})


def _require_complete(name: str, tenant: str, settings: "Settings", path: Path | None, *, allow_missing: bool) -> None:
    """Make both collections alike. Raise OperatorError if persons or faces are missing in what is to be searched."""
    from facesearch.migration import running  # noqa: PLC0415 -- see above

    _, migration = query(settings.data_dir, lambda control: running.found(control, tenant, name))
    if migration is None or migration.other is None:
        return
    persons = query(settings.data_dir, lambda control: running.persons_of(control, settings, tenant, name))
    if persons.missing:
        _say_missing(persons, path)
    if persons.missing and not allow_missing:
        raise OperatorError(
            f"{len(persons.missing)} of {persons.count} persons would not be found any more, or not by all their "
            "faces: give photos of them with --photos, or lose them with --allow-missing; --missing FILE lists them"
        )


def _fill(
    name: str,
    tenant: str,
    source: Path,
    names_from: "Literal['folder', 'file'] | None",
    by_face: bool,
    workers: int,
    settings: "Settings",
    report: Path | None,
) -> None:
    """Fill the collection of the new model, compare both, and print what was done."""
    from facesearch.bulk.report import write  # noqa: PLC0415 -- see above
    from facesearch.migration import photos, running  # noqa: PLC0415
    from facesearch.migration.filling import Filled  # noqa: PLC0415

    data_dir, by = settings.data_dir, author()
    subject = {"tenant": tenant, "facedb": name}
    with photos.opened(source, names_from) as listed:
        identities = query(data_dir, lambda control: running.planned(control, settings, tenant, name))
        if identities is not None:
            change(
                data_dir,
                "facedb.migrate",
                lambda control: control.begin_migration(tenant, name, *identities, by),
                lambda _: subject,
            )
        filled = Filled(failures=[*listed.failures])
        with progress(len(listed.photos), "photos") as shown:

            async def run(control: Control) -> Compared | None:
                compared = await running.filled_from(
                    control,
                    settings,
                    tenant,
                    name,
                    listed,
                    filled,
                    most_at_once=workers,
                    by_face=by_face,
                    advance=shown.advance,
                )
                if compared is not None:
                    await control.keep_comparison(tenant, name, compared, by)
                return compared

            try:
                query(data_dir, run)
            finally:
                click.echo(f"migrated  {filled.added} photos")
                click.echo(f"not used  {filled.skipped} photos of persons who are migrated already")
                if filled.left:
                    click.echo(f"not done  {filled.left} photos: the same command goes on with them")
                click.echo(f"failed    {len(filled.failures)} photos")
                if report is not None:
                    write(report, filled.failures)
                else:
                    for failure in filled.failures[:SHOWN]:
                        remark(f"{failure.path}: {failure.reason}")


def _print(name: str, tenant: str, migration: Migration | None) -> None:
    from facesearch.migration.running import described  # noqa: PLC0415 -- see above

    if migration is None or migration.other is None:
        print_paragraph(f"facedb {name} of tenant {tenant} is not being migrated")
        return
    other = "filled" if migration.state == "filling" else "kept"
    rows = [
        (state, stored.identity.partition(":")[0], stored.name)
        for state, stored in (("searched", migration.current), (other, migration.other))
    ]
    print_table(("FACES", "MODEL", "STORED AS"), rows)
    if migration.compared is not None:
        print_paragraph(described(migration.compared))


def _say_missing(persons: "Persons", path: Path | None) -> None:
    """Say of how many persons faces are missing, and list them in a CSV file if that is asked for."""
    missing = persons.missing.values()
    none = sum(person.migrated == 0 for person in missing)
    click.echo(
        f"persons   {persons.count}, of whom {none} have no face of the other model, and {len(missing) - none} not all"
    )
    if path is None:
        return
    try:
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("person_id", "external_id", "name", "faces", "migrated"))
            rows.writerows(
                (each.person_id, each.external_id or "", each.name, each.faces, each.migrated) for each in missing
            )
    except OSError as error:
        raise OperatorError(f"cannot write {path}: {error.strerror}; choose another file with --missing") from None
