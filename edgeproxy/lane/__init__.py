"""The express lane: repeats of a known request head, answered straight from memory."""
