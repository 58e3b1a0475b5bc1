"""Runs the programs that the consoles show beside their actions, as they are shown."""

import ast
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from browser.callers import Shown

_READERS: Final = {"curl": json.loads, "Python": ast.literal_eval, "JavaScript": json.loads}
"""What reads the answer that a program prints."""

LANGUAGES: Final = tuple(_READERS)


def _runners() -> dict[str, tuple[str, ...]]:
    """Return the commands that run a text. JavaScript is run by the Node.js that Playwright brings along."""
    found = find_spec("playwright")
    assert found is not None
    assert found.origin is not None
    node = Path(found.origin).parent / "driver/node"
    return {
        "curl": ("bash", "-c"),
        "Python": (sys.executable, "-c"),
        "JavaScript": (str(node), "--input-type=module", "--eval"),
    }


class Programs:
    """Runs programs in a folder, against the service of the page."""

    def __init__(self, shown: Shown, folder: Path) -> None:
        self._folder = folder
        self._runners = _runners()
        self._settings = {
            **os.environ,
            "FACESEARCH_URL": shown.address,
            "FACESEARCH_KEY": shown.key,
            "FACESEARCH_ADMIN_URL": shown.admin,
            "FACESEARCH_ADMIN_KEY": shown.admin_key,
        }

    def start(self, folded: Any, language: str) -> "Running":
        """Run a program. folded: the element in which it is folded away."""
        if folded.get_attribute("open") is None:
            folded.locator("summary").click()
        folded.get_by_role("button", name=language).click()
        process = subprocess.Popen(
            [*self._runners[language], folded.locator("code").inner_text()],
            cwd=self._folder,
            env=self._settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Running(language, process)

    def said(self, folded: Any, *languages: str) -> list[str]:
        """Return what programs print that are run at once, in all languages if none is named."""
        running = [self.start(folded, language) for language in languages or LANGUAGES]
        return [program.said() for program in running]

    def answers(self, folded: Any, *languages: str) -> list[Any]:
        """Return the messages of the answers that they print."""
        running = [self.start(folded, language) for language in languages or LANGUAGES]
        return [program.answer() for program in running]


@dataclass(frozen=True)
class Running:
    """A program that runs."""

    language: str
    process: subprocess.Popen[str]

    def said(self) -> str:
        """Return what it prints."""
        printed, complaint = self.process.communicate()
        assert self.process.returncode == 0, complaint
        return printed

    def answer(self) -> Any:
        """Return the message of the answer that it prints, which is OK."""
        answer = _READERS[self.language](self.said())
        assert answer["status"] == "OK", answer
        return answer["message"]
