"""Monitoring for operators: probes, the state of the service, and the metrics endpoint."""
