#!/bin/sh
# The official image takes its key from this variable.
exec python qdrant_server.py storage --host 0.0.0.0 --port 6333 --grpc-port 6334 --api-key "$QDRANT__SERVICE__API_KEY"
