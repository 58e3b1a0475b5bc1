"""Logs, metrics, traces and the stages of a request."""
