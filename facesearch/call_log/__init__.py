"""Reading and checking the call log that gateways write; shared/call_log has the format."""
