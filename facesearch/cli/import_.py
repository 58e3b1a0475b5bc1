"""`facesearch import`: add the photos of a folder, a CSV file or a ZIP file through a running service."""

import asyncio
import csv
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource
from pydantic import SecretStr

from facesearch.cli import names
from facesearch.cli.console import print_paragraph, remark, reported, settings_from
from facesearch.cli.progress import progress
from facesearch.cli.taking_in import import_facedb
from facesearch.diagnosis.installed import missing
from facesearch.embedded import data_directory
from facesearch.embedded.sockets import url_of
from facesearch.exchange.about import is_facedb
from shared import origins
from shared.contract import FACEDB, Faces
from shared.control import DEFAULT
from shared.errors import OperatorError

if TYPE_CHECKING:
    from facesearch.bulk.journal import Journal, State
    from facesearch.bulk.options import Options
    from facesearch.bulk.photos import Listing, Photo
    from facesearch.bulk.report import Tally
    from facesearch.bulk.sources import NamesFrom
    from shared.settings import Settings

MOST_AT_ONCE: Final = 128
"""Default of FACESEARCH_CONCURRENCY, the requests that one key may have at once."""

SHOWN: Final = 10
"""Failures that are shown where there is no report."""

_OF_FACEDBS: Final = frozenset({"source", "facedb", "tenant", "data_dir"})
"""Parameters for exported face databases; the others, and not `tenant`, are for photos."""


@click.command("import")
@click.argument("source", metavar="DIR|CSV|ZIP|FILE", type=click.Path(path_type=Path))
@click.option(
    "--facedb",
    default="",
    shell_complete=names.facedbs,
    help="Face database that the faces are added to; for an exported one it is made if need be.  [default: that of the "
    "key, or of the tenant]",
)
@click.option(
    "--tenant",
    help="Tenant of the face database, for an exported one.  [default: default]",
    shell_complete=names.tenants,
)
@click.option(
    "--faces",
    type=click.Choice([each.value for each in Faces]),
    default=Faces.ONE.value,
    show_default=True,
    help="Faces of a photo that get its name: the only one, the largest, or all. With `one` a photo of several people "
    "is reported, and nobody is added under the name of somebody else.",
)
@click.option(
    "--names",
    "names_from",
    type=click.Choice(["folder", "file"]),
    help="Where names come from in a folder or ZIP file.  [default: folder]",
)
@click.option(
    "--person-per-folder",
    is_flag=True,
    help="Make the photos of each folder one person of several faces. A CSV file has a column `person` or "
    "`external_id` instead: rows with the same text are one person.",
)
@click.option("--shrink", is_flag=True, help="Make photos of more than 2 MiB smaller before they are sent.")
@click.option("--url", help="Address of the service.  [default: the one here, http://127.0.0.1:8000]")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    help="File with the API key.  [default: FACESEARCH_API_KEY, or the first key in the data directory]",
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Data directory of the service, for its key.")
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_AT_ONCE),
    default=64,
    show_default=True,
    help="Photos sent at once, at most. Usually fewer keep the service busy.",
)
@click.option("--journal", type=click.Path(path_type=Path), help="File of the journal.  [default: beside the source]")
@click.option("--report", type=click.Path(path_type=Path), help="CSV file for what failed, and why.")
@click.option("--dry-run", is_flag=True, help="List what would be added, and add nothing.")
@click.option(
    "--anew",
    is_flag=True,
    help="Add again what was added within a day, such as where the facedb was dropped and created.",
)
@click.option("--send-uncertain", is_flag=True, help="Also send photos that may have been added more than a day ago.")
@reported
def import_(
    source: Path,
    facedb: str,
    tenant: str | None,
    faces: str,
    names_from: "NamesFrom | None",
    person_per_folder: bool,
    shrink: bool,
    url: str | None,
    key_file: Path | None,
    data_dir: Path | None,
    workers: int,
    journal: Path | None,
    report: Path | None,
    dry_run: bool,
    anew: bool,
    send_uncertain: bool,
) -> None:
    """Add the photos of a folder, CSV file or ZIP file, or an exported facedb, to a face database.

    Photos are added through a running service, here or elsewhere. An import that was interrupted, by Ctrl-C or in any
    other way, goes on when the same command is run again, and adds no photo twice: a journal beside the source says
    what was added. It holds names and paths. The exit status is 0 only if every photo was added.
    """
    if is_facedb(source):
        _refuse_options_for_photos()
        import_facedb(source, tenant or DEFAULT, facedb, data_dir)
        return
    if tenant is not None:
        raise OperatorError("--tenant is for an exported facedb; photos are added with a key, which has a tenant")
    settings = settings_from(data_dir=data_dir)
    _require_possible(facedb, report, shrink=shrink)
    # aiohttp takes a part of a second; `--help` need not wait for that.
    from facesearch.bulk import journal as journals  # noqa: PLC0415 -- see above
    from facesearch.bulk import report as reports  # noqa: PLC0415
    from facesearch.bulk import run, sources  # noqa: PLC0415
    from facesearch.bulk.options import Options  # noqa: PLC0415

    options = Options(
        url=_origin(url) if url is not None else url_of(settings.host, settings.port),
        key=_key(settings, key_file),
        facedb=facedb,
        faces=Faces(faces),
        workers=workers,
        remembered_s=settings.idempotency_s,
        send_uncertain=send_uncertain,
        shrink=shrink,
    )
    with sources.opened(source, names_from, person_per_folder=person_per_folder) as listed:
        persons = any(photo.person is not None for photo in listed.photos)
        if persons and options.faces is Faces.ALL:
            raise OperatorError(
                "--faces all is not for persons of several faces, or with an external_id: each photo shows one face of "
                "them"
            )
        target = journals.Target(options.url, facedb, persons)
        path = journal or _beside(source, facedb, persons=person_per_folder)
        found = asyncio.run(run.check(options, listed))
        if found.unused:
            remark(f"columns that do not matter: {', '.join(found.unused)}")
        if dry_run:
            tally = _planned(options, found, journals.read(path, target))
            _finish(tally, report)
            sys.exit(1 if tally.failures else 0)
        tally = reports.Tally()
        try:
            if found.skipped:
                remark(f"{found.skipped} other files are skipped")
            with journals.opened(path, target, os.urandom(8).hex() if anew else None) as opened:
                asyncio.run(_add(options, found, opened, tally))
        finally:
            if tally.is_begun:
                _print(tally)
                _finish(tally, report)
    if tally.left:
        remark(f"Not all was done. The same command goes on with the rest, by the journal {path}")
    sys.exit(0 if tally.is_complete else 1)


def _refuse_options_for_photos() -> None:
    """Raise OperatorError if an option was given that only counts for photos."""
    context = click.get_current_context()
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if given and option.name not in _OF_FACEDBS:
            raise OperatorError(f"{option.opts[0]} is for photos, and this is an exported facedb")


def _require_possible(facedb: str, report: Path | None, *, shrink: bool) -> None:
    """Raise OperatorError for options that cannot be followed."""
    if shrink and missing(("cv2", "numpy")):
        raise OperatorError("--shrink needs OpenCV, which is not installed here; import where a worker is installed")
    if facedb and FACEDB.fullmatch(facedb) is None:
        raise OperatorError("--facedb must be 1 to 64 letters, digits, - or _")
    if report is not None and not os.access(report.absolute().parent, os.W_OK):
        raise OperatorError(f"cannot write into {report.absolute().parent}; choose another place with --report")


def _planned(options: "Options", found: "Listing", state: "State") -> "Tally":
    """Print what would be added, as CSV that can be imported itself, and return what would not be."""
    from facesearch.bulk import table  # noqa: PLC0415 -- see above
    from facesearch.bulk.run import planned  # noqa: PLC0415

    def cells(photo: "Photo") -> dict[str, str | None]:
        person = None if photo.person == photo.external_id else photo.person
        return {"file": photo.path, "name": photo.name, "person": person, **photo.attributes}

    used = {column for photo in found.photos for column, text in cells(photo).items() if text is not None}
    columns: list[str] = [*table.REQUIRED, *(column for column in table.OPTIONAL if column in used)]
    rows = csv.DictWriter(sys.stdout, columns, extrasaction="ignore")
    rows.writeheader()
    tally = planned(options, found, state, lambda photo: rows.writerow(cells(photo)))
    remark(f"{tally.left} photos would be added, {tally.before} were before, {len(tally.failures)} would fail")
    return tally


async def _add(options: "Options", found: "Listing", journal: "Journal", tally: "Tally") -> None:
    """Add photos until all are done, or until SIGINT or SIGTERM and the answers to those on their way. A second signal
    does not wait for these.
    """
    from facesearch.bulk.run import add_all  # noqa: PLC0415 -- see above

    stop = asyncio.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def end() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    with progress(len(found.photos), "photos", lambda: f", {len(tally.failures)} failed{_rate(tally)}") as shown:
        with suppress(asyncio.CancelledError):
            await add_all(options, found, journal, tally, stop, shown.advance, shown.say)
        if stop.is_set() and tally.left:
            shown.say("stopped")


def _print(tally: "Tally") -> None:
    """Print what the import came to."""
    click.echo(f"added         {tally.added} photos, {tally.faces} faces{_rate(tally)}")
    if tally.persons:
        click.echo(f"              {tally.persons} new persons of them")
    if tally.shrunk:
        click.echo(f"              {tally.shrunk} of them made smaller")
    if tally.before:
        click.echo(f"added before  {tally.before} photos, by the journal")
    if tally.replayed:
        click.echo(f"added before  {tally.replayed} photos within a day, by an import whose journal is not here")
    if tally.present:
        click.echo(f"present       {tally.present} photos of persons whose external_id is there; they stay as they are")
    if tally.left:
        click.echo(f"not done      {tally.left} photos")
    click.echo(f"failed        {len(tally.failures)}")
    for reason, count in tally.reasons():
        print_paragraph(f"              {count} x {reason}", indent=14)


def _rate(tally: "Tally") -> str:
    return "" if tally.per_second is None else f", {tally.per_second:.1f} photos a second"


def _finish(tally: "Tally", report: Path | None) -> None:
    """Write what failed to the report or, if there is none, the first few of it to stderr."""
    from facesearch.bulk.report import write  # noqa: PLC0415 -- see above

    if report is not None:
        write(report, tally.failures)
        return
    for failure in tally.failures[:SHOWN]:
        remark(f"{failure.path}: {failure.reason}")
    if len(tally.failures) > SHOWN:
        remark(f"… and {len(tally.failures) - SHOWN} more; --report FILE.csv lists all")


def _origin(url: str) -> str:
    """Return the address of a service. Raises OperatorError unless it is an http or https origin."""
    wrong = OperatorError("--url must be http://HOST, https://HOST or either with :PORT, without a path")
    try:
        (origin,) = origins.parse(url.rstrip("/"))
    except ValueError:
        raise wrong from None
    if not origin.startswith(("http://", "https://")):
        raise wrong
    return origin


def _key(settings: "Settings", key_file: Path | None) -> SecretStr:
    """Return the API key: that of the file, of the settings, or the first key in the data directory."""
    if key_file is None and settings.api_key is not None:
        return settings.api_key
    path = key_file or settings.data_dir.expanduser() / data_directory.API_KEY
    try:
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in ASCII"
        raise OperatorError(f"no API key in {path} ({why}); name a file that holds one with --key-file") from None
    if not key.isprintable() or not key:
        raise OperatorError(f"no API key in {path}; it must hold one line, the key")
    return SecretStr(key)


def _beside(source: Path, facedb: str, *, persons: bool) -> Path:
    """Return the journal beside a source; each facedb has one of its own, and persons of several faces, too."""
    whole = source.absolute()
    whole = whole if whole.name else whole.resolve()
    return whole.with_name(f"{whole.name}{f'.{facedb}' if facedb else ''}{'.persons' if persons else ''}.import.jsonl")
