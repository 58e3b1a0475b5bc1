"""The call log: an append-only record of the calls that a gateway answered, which shows what was changed in it.

Each gateway process writes a chain of its own, from its start to its end, into files of one folder:

    <time of start>-<gateway id>-<number of the file>.jsonl

A line is an entry (chain.py), JSON with the fields

    n        the number of the entry in its chain, from 1
    at       time by the clock of the gateway's machine
    event    open, call, refused, removed or close: see below
    hash     of the entry before and of this entry, hexadecimal: SHA-256, or HMAC-SHA256 with a key

and of the events

    open     the first entry of each file: version, chain, file (its number), host, seal (how it is hashed), previous
             (the hash before it, zeros in the first file)
    call     an answered call: request_id, call, status (absent: nobody was answered), tenant, key (its id), facedb, and
             the ids that were asked for (person_id, face_id, job_id) and answered (person_ids, face_ids; more: how many
             persons beyond those)
             Of a webhook that was delivered: call is webhook; host, status, job_id and ids
    refused  requests without a valid key, counted: call, status, count
    removed  a file that was older than the log is kept: chain, file, last and last_hash (of its last entry; absent: it
             has none)
    close    the end of the process, when it ended in order

The newest entry of each chain, its head, is also kept in the broker (heads.py), so that a chain that was removed, or
cut off at its end, is found, too. No entry has a name, an image, a vector or metadata.
"""
