"""A whole face database as one file, for another service or another program (docs/export.md). The file is a ZIP file of

facedb.json      what it holds, with the checksums of the other two (About)
persons.jsonl    a line for each person
vectors.npy      float32, shape (faces, dimension): a row for each face, in the order of the persons

Nothing in it is compressed, and no engine is needed to read it: NumPy and JSON are enough.
"""
