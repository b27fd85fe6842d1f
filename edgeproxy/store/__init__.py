"""The cache: stored responses, and the transfers that are about to become some."""
