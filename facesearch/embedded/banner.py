"""What `facesearch up` says once everything runs."""

import shlex
from pathlib import Path
from typing import Final

_INDENT: Final = " " * 12


def welcome(
    address: str,
    key_file: Path | None,
    admin_address: str,
    admin_key: str,
    folder: Path,
    shown: str | None,
    *,
    valid: bool,
) -> str:
    """key_file: where the API key is; None for FACESEARCH_API_KEY. admin_key: where the admin's is. shown: the API key,
    if it is to be shown: once, at a terminal, since journals and logs keep everything else that is written. valid:
    whether the key still opens anything.
    """
    where = f"in {key_file or 'FACESEARCH_API_KEY'}"
    if not valid:
        where = "revoked; make another with: facesearch keys create --name NAME"
    elif shown:
        where = f"{shown}\n{_INDENT}shown this once; it is kept in\n{_INDENT}{key_file}"
    taken = f"$(cat {shlex.quote(str(key_file))})" if key_file and valid else "'YOUR KEY'"
    return f"""
facesearch is ready.

  address   {address}
  API key   {where}
  admin     {admin_address}/admin/v1
            its key is in {admin_key}
  data      {folder}

For the calls below, in another terminal:

  URL={address}
  KEY={taken}

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
