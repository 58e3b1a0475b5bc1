"""What the gateway and the worker both speak. Imports neither of them."""
