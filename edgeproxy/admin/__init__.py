"""The operators' port: health, readiness, state, explain."""
