"""A stand-in for a Qdrant server: see tests/qdrant_server.py."""
