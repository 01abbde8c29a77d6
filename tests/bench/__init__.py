"""Measurements against the targets of the project: `python -m tests.bench` (or `make bench`)."""
