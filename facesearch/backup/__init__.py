"""Backups of a service. A backup is a folder:

manifest.json    its files with their checksums; written last, so that a folder without it is no backup
control.jsonl    control data: tenants, keys, face databases, counters (control_data.py)
faces/           a file for each collection (worker/store/faces_file.py), or the snapshots of a Qdrant server
                 (worker/store/qdrant/snapshots.py)
api-key          the keys that `facesearch up` made, if it made any
admin-key
"""
