"""Compose files, by Compose itself: the base alone, and with every combination of its override files."""

from collections.abc import Iterator
from itertools import chain, combinations
from pathlib import Path
from typing import Final

import compose

from check.result import Result
from check.tools import complaint

# The package's own command drops the exit status of the program that it carries.
PROGRAM: Final = Path(compose.__file__).parent / "docker-compose"


def check(root: Path) -> Iterator[Result]:
    base = root / "docker-compose.yml"
    if not base.exists():
        return
    overrides = sorted((root / "deploy").glob("compose.*.yml"))
    for chosen in chain.from_iterable(combinations(overrides, count) for count in range(len(overrides) + 1)):
        files = [argument for path in (base, *chosen) for argument in ("--file", path)]
        reason = complaint([PROGRAM, "--project-directory", root, *files, "config", "--quiet"])
        if reason and len(chosen) > 1:
            reason = f"with {', '.join(path.name for path in chosen[:-1])}: {reason}"
        yield Result(chosen[-1] if chosen else base, reason)
