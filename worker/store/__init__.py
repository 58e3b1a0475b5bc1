"""The store of embeddings: one interface, implemented by Qdrant Edge, a Qdrant server and memory."""
