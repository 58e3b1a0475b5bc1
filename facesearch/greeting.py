"""What `facesearch up` says once everything runs."""

from pathlib import Path


def welcome(address: str, key: str | None, admin_address: str, admin_key: str, folder: Path) -> str:
    """key: None when it was revoked. admin_key: where it is, not what it is."""
    shown = key or "revoked; make another with: facesearch keys create --name NAME"
    return f"""
facesearch is ready.

  address   {address}
  API key   {shown}
  admin     {admin_address}/admin/v1
            its key is in {admin_key}
  data      {folder}

For the calls below, in another terminal:

  URL={address}
  KEY={key or "'YOUR KEY'"}

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
