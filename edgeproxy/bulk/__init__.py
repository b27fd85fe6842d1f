"""Filling buckets in bulk: what is named by lists, logs and listings, and a run over all of it."""
