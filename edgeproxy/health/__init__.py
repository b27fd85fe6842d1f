"""Checking nodes all the time, and sharing what was found."""
