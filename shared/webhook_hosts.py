"""Lists of the hosts to which webhooks may go: names with an optional port, such as hooks.example.com or
*.example.com:8443.
"""

import re
from collections.abc import Collection
from typing import Final, NamedTuple

HTTPS: Final = 443

ANY: Final = "*."
"""In front of a name: every name below it, and not the name itself."""

_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
# The last label has a letter: what has none is an address, in one of its forms.
_NAME: Final = re.compile(rf"({_LABEL}\.)*(?=[0-9_-]*[a-z]){_LABEL}")


class Host(NamedTuple):
    """A host that is allowed. name: in lower case; it may begin with ANY."""

    name: str
    port: int

    def covers(self, name: str, port: int) -> bool:
        """Return whether it is that host. name: in lower case."""
        matches = name.endswith(self.name[1:]) if self.name.startswith(ANY) else name == self.name
        return matches and port == self.port


def parse(text: str) -> Collection[Host]:
    """Return the hosts of a list separated by commas or spaces. Raises ValueError, whose text quotes nothing, if an
    entry is none.
    """
    hosts = tuple(_host(entry.lower(), number) for number, entry in enumerate(text.replace(",", " ").split(), 1))
    if not hosts:
        raise ValueError("there is no host in it")
    return hosts


def is_name(text: str) -> bool:
    """Return whether a text is the name of a host, in lower case, and no address."""
    return len(text) <= 253 and _NAME.fullmatch(text) is not None


def _host(entry: str, number: int) -> Host:
    name, colon, port = entry.partition(":")
    if not is_name(name.removeprefix(ANY)) or (colon and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise ValueError(
            f"entry {number} is no host; write a name, such as hooks.example.com, *.example.com or "
            "hooks.example.com:8443, and no address, scheme or path"
        )
    return Host(name, int(port) if colon else HTTPS)
