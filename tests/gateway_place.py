"""A place with nothing but what the image of a gateway has: the packages of its list, and the project."""

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
    """Version of each package of a list."""
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]+\])?==(\S+)", path.read_text(), re.MULTILINE))


@dataclass(frozen=True)
class Place:
    """folder: of links to the packages, instead of an environment's."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """Of a Python that sees nothing else."""
        return [sys.executable, "-S", *arguments]

    def environment(self, **settings: str) -> dict[str, str]:
        # PATH: celery looks for the machine's name with a program of it.
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
    """Make one in an empty folder. What the list has for other systems only is not on this machine."""
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
