"""The URL of a webhook: checked when it is given and again before each delivery."""

import re
from collections.abc import Collection
from typing import Final

from yarl import URL

from gateway.http.headers import WEBHOOK_URL
from shared.errors import InvalidRequest
from shared.webhook_hosts import Host, is_name

LONGEST: Final = 2048
"""Characters of a URL, as most servers take."""

OFF: Final = f"{WEBHOOK_URL} is not taken here: the operator allows no host"

WRONG: Final = (
    f"{WEBHOOK_URL} must be an https URL of at most {LONGEST} characters, without a user, of a host that the "
    "operator allows"
)


def target(text: str, hosts: Collection[Host]) -> URL:
    """Return the URL to which outcomes go. It is the one that is connected to: nothing reads the text again. Raises
    InvalidRequest, which does not quote it.
    """
    if not hosts:
        raise InvalidRequest(OFF)
    try:
        url = URL(text) if len(text) <= LONGEST and re.fullmatch(r"[!-~]+", text) else URL()
        name, port = (url.raw_host or "").lower(), url.port or 0
    except ValueError:
        raise InvalidRequest(WRONG) from None
    plain = url.scheme == "https" and url.raw_user is None and url.raw_password is None and not url.raw_fragment
    if not plain or not is_name(name) or not any(host.covers(name, port) for host in hosts):
        raise InvalidRequest(WRONG)
    return url
