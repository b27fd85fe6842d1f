"""Measurements: each module or package is a command."""
