"""Delivering outcomes of asynchronous jobs to servers of callers, and to no other."""
