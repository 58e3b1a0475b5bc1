"""From encoded images to embedded faces: decoding, detection passes, quality, alignment and inference."""
