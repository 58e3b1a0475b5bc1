"""Rewriting a fetched model's graph once, so that ONNX Runtime runs it fast."""
