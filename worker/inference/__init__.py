"""The inference process: the one owner of a GPU, which runs the models for all vision processes of a worker."""
