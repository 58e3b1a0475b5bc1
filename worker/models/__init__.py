"""The models: catalogue, identity, calibration, files and preparation."""
