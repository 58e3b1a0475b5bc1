"""What a backup is: a folder.

manifest.json    what is in it, with checksums; written last, so a folder without one is no backup
control.jsonl    control data: tenants, keys, face databases, counters (control_data.py)
faces/           of an embedded store a file each collection (worker/store/faces_file.py), of a Qdrant server what
                 worker/store/qdrant/snapshots.py writes
api-key          the keys that `facesearch up` made, if it did
admin-key
"""
