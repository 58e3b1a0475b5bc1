"""The service on one machine: Valkey servers, gateway and worker, supervised."""
