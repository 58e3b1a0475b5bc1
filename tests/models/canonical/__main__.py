"""Write the pinned results: `PYTHONPATH=.:tests .venv/bin/python tests/models/canonical`."""

import json

from canonical import FILE, reference

FILE.write_text(json.dumps(reference(), indent=1) + "\n")
