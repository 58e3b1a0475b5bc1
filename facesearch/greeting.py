"""What `facesearch up` says once everything runs."""

from pathlib import Path


def welcome(address: str, key: str | None, admin_address: str, admin_key: str, folder: Path) -> str:
    """key: None when it was revoked. admin_key: where it is, not what it is."""
    shown = key or "revoked; make another with: facesearch keys create --name NAME"
    header = f"-H 'X-API-Key: {key or 'YOUR KEY'}'"
    return f"""
facesearch is ready.

  address   {address}
  API key   {shown}
  admin     {admin_address}/admin/v1, its key is in {admin_key}
  data      {folder}

Does it answer? This deletes a face that is not there, through the whole service:

  curl -s {address}/v1/delface {header} -d person_id=00000000-0000-0000-0000-000000000000

Add a face, then search for it:

  curl -s {address}/v1/addface {header} -F name=me -F img=@photo.jpg
  curl -s {address}/v1/searchface {header} -F img=@photo.jpg

Ctrl-C stops it.
"""
