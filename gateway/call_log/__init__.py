"""Writing the call log of this gateway process; shared/call_log has the format."""
