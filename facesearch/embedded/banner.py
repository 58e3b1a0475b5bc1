"""The text that `facesearch up` prints once the service is ready."""

import shlex
from pathlib import Path
from typing import Final

_INDENT: Final = " " * 12


def render(
    address: str,
    key_file: Path | None,
    admin_address: str,
    admin_key: str,
    folder: Path,
    shown: str | None,
    *,
    valid: bool,
    console: bool,
) -> str:
    """Return the text.

    key_file: the file of the API key, None if FACESEARCH_API_KEY holds it. admin_key: the file or variable of the admin
    key. shown: the API key itself, to be shown once on a terminal and never in a journal or log. valid: whether the API
    key exists and has not been revoked. console: whether there is one, for a browser.
    """
    location = f"in {key_file or 'FACESEARCH_API_KEY'}"
    if not valid:
        location = "revoked; make another with: facesearch keys create --name NAME"
    elif shown:
        location = f"{shown}\n{_INDENT}shown this once; it is kept in\n{_INDENT}{key_file}"
    shell_value = f"$(cat {shlex.quote(str(key_file))})" if key_file and valid else "'YOUR KEY'"
    shown_console = f"\n  console   {address}/console" if console else ""
    return f"""
facesearch is ready.

  address   {address}{shown_console}
  API key   {location}
  admin     {admin_address}/admin/v1
            its key is in {admin_key}
  data      {folder}

For the calls below, in another terminal:

  URL={address}
  KEY={shell_value}

Does it answer? This deletes a face that is not there, through the whole
service:

  curl -s -w '\\n' $URL/v1/delface -H "X-API-Key: $KEY" \\
    -d person_id=00000000-0000-0000-0000-000000000000

Add a face, then search for it:

  curl -s -w '\\n' $URL/v1/addface -H "X-API-Key: $KEY" \\
    -F name=me -F img=@photo.jpg
  curl -s -w '\\n' $URL/v1/searchface -H "X-API-Key: $KEY" -F img=@photo.jpg

Ctrl-C stops it.
"""
