"""Add the photos of a CSV file with ids of your own, such as those of another service, as external ids.

The file has the columns `file`, `name` and `id`; files are relative to it. The service is that of FACESEARCH_URL and
FACESEARCH_KEY. Who has such an external id already is not added again, so the same command goes on after an
interruption. A line of CSV for each row goes to stdout: the id, and the person_id or what is wrong.
"""

import argparse
import csv
import os
import sys
from pathlib import Path

from facesearch_client import FaceSearch, FaceSearchError


def outcome(service: FaceSearch, row: dict[str, str], below: Path, facedb: str | None) -> tuple[str, str]:
    """Return the person_id of a row's person, who is added if need be, and nothing; or nothing, and what is wrong."""
    try:
        for person in service.persons(external_id=row["id"], facedb=facedb):
            return person.person_id, ""
        photo = below / row["file"]
        (added,) = service.addface(photo, name=row["name"], external_id=row["id"], faces="one", facedb=facedb)
    except (FaceSearchError, OSError) as error:
        return "", f"{type(error).__name__}: {error}"
    return added.person_id, ""


def main() -> None:
    parser = argparse.ArgumentParser(description="Add the photos of a CSV file with ids of your own.")
    parser.add_argument("table", type=Path, help="CSV file in UTF-8 with the columns file, name and id")
    parser.add_argument("--facedb", help="face database, if it is not the key's own")
    options = parser.parse_args()
    rows = csv.writer(sys.stdout)
    rows.writerow(("id", "person_id", "problem"))
    failed = 0
    with (
        options.table.open(encoding="utf-8-sig", newline="") as table,
        FaceSearch(os.environ["FACESEARCH_URL"], os.environ["FACESEARCH_KEY"]) as service,
    ):
        for row in csv.DictReader(table):
            person_id, problem = outcome(service, row, options.table.parent, options.facedb)
            rows.writerow((row["id"], person_id, problem))
            failed += bool(problem)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
