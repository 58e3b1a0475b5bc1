"""An installation with only the packages of the gateway's image, and the project."""

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "requirements" / "gateway.txt"


def locked(path: Path = LOCK) -> dict[str, str]:
    """Return the version of each package in a list of requirements."""
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]+\])?==(\S+)", path.read_text(), re.MULTILINE))


@dataclass(frozen=True)
class Place:
    """An installation. folder: has links to its packages."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a Python that sees no other packages."""
        return [sys.executable, "-S", *arguments]

    def environment(self, **settings: str) -> dict[str, str]:
        # PATH: celery runs a program to find the name of the machine.
        return {"PYTHONPATH": f"{self.folder}:{ROOT}", "PATH": "/usr/bin:/bin", "HOME": str(self.folder), **settings}

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(**settings),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )


def place(folder: Path) -> Place:
    """Make an installation in an empty folder, without packages of the list that are for other systems only."""
    for name in (*locked(), "facesearch"):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        for file in found.files or ():
            if ".." not in file.parts and file.suffix != ".pth":
                link = folder / file
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(str(found.locate_file(file)))
    return Place(folder)
