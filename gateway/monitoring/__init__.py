"""What operators watch: probes, the state of the service, and the metrics endpoint."""
