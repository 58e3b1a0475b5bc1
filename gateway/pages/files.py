"""The files of a page, as responses: read once, kept in memory, and bound to this service by their headers.

aiohttp's add_static is not used: it opens the file of every request in a thread, and knows no header of ours.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from aiohttp import ETag, hdrs, web

CONTENT_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""The content types of files by suffix. Files of other suffixes, such as licences, are not served."""

HEADERS: Final[Mapping[str, str]] = {
    hdrs.CACHE_CONTROL: "no-cache",  # ask each time whether it changed, so that no release mixes with another
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every file of a page."""


@dataclass(frozen=True)
class PageFile:
    """A file of a page. plain, compressed: its content, as it is and by gzip."""

    content_type: str
    plain: bytes
    compressed: bytes

    @property
    def etag(self) -> str:
        return hashlib.sha256(self.plain).hexdigest()[:32]

    def response(self, request: web.Request, policy: str) -> web.Response:
        """Return the file, or 304 to who has it. policy: the Content-Security-Policy."""
        etag = self.etag
        response = web.Response(headers={**HEADERS, "Content-Security-Policy": policy, hdrs.VARY: hdrs.ACCEPT_ENCODING})
        response.etag = etag
        if ETag(etag) in (request.if_none_match or ()):
            response.set_status(304)
            return response
        response.content_type = self.content_type
        response.charset = "utf-8"
        response.body = self.plain
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            response.headers[hdrs.CONTENT_ENCODING] = "gzip"
            response.body = self.compressed
        return response


def read_files(folder: Path) -> dict[str, PageFile]:
    """Return the files of a folder and those below it, by their paths in it, such as "style.css". One that is stored
    compressed has its name without ".gz". Raises OSError.
    """
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        stored = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        if name.endswith(".gz"):
            name, compressed, plain = name.removesuffix(".gz"), stored, gzip.decompress(stored)
        else:
            compressed, plain = gzip.compress(stored, mtime=0), stored
        content_type = CONTENT_TYPES.get(PurePosixPath(name).suffix)
        if content_type is not None:
            found[name] = PageFile(content_type, plain, compressed)
    return found
