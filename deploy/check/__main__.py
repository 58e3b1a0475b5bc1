"""Check the deployment files: `python -m check [ROOT]`. Ends with `deploy: N files valid`, or non-zero with each file
and what is wrong with it.
"""

import sys
from itertools import chain
from pathlib import Path

import click

from check import chart, compose, dockerfiles, grafana, prometheus, texts


@click.command()
@click.argument("root", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
def main(root: Path) -> None:
    """Check the deployment files of the project in ROOT."""
    root = root.resolve()
    results = list(
        chain.from_iterable(module.check(root) for module in (dockerfiles, compose, chart, prometheus, grafana))
    )
    results += texts.check(root, {result.file for result in results})
    problems = list(dict.fromkeys(result for result in results if result.reason))
    for file, reason in problems:
        click.echo(f"{file.relative_to(root)}: {reason}", err=True)
    files = {result.file for result in results}
    invalid = {problem.file for problem in problems}
    if invalid or not files:
        click.echo(f"deploy: {len(invalid)} of {len(files)} files invalid", err=True)
        sys.exit(1)
    click.echo(f"deploy: {len(files)} files valid")


if __name__ == "__main__":
    main()
