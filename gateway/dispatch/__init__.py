"""A request's way to a worker and its outcome's way back, over Redis."""
