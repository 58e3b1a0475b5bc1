"""Checks of everything in deploy/ and of the compose files, by the validators that each kind of file has.

Run by `make check-deploy`, with what requirements/deploy.txt installs beside the project.
"""
