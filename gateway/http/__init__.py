"""Connections, HTTP/1.1 and the middleware that every request passes."""
