"""The store on a Qdrant server, over REST or gRPC."""
