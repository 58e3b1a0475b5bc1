"""The HTTP side: it speaks the contract, sends jobs to workers and writes their outcomes as answers."""
