"""Migration of a face database from one model to another, with photos that the caller has."""
