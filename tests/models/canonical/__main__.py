"""Write the pinned results: `PYTHONPATH=.:tests .venv/bin/python tests/models/canonical`. Those of a way of
preprocessing are written once, and never again.
"""

import json

from canonical import FILE, reference
from canonical_ways import FILE as WAYS
from canonical_ways import pinned, vectors
from worker.models.versions import PREPROCESSINGS

FILE.write_text(json.dumps(reference(), indent=1) + "\n")
kept = pinned()
ways = {str(version): kept.get(str(version)) or vectors(way) for version, way in PREPROCESSINGS.items()}
lines = [f"{json.dumps(version)}: {json.dumps(found)}" for version, found in ways.items()]
WAYS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
