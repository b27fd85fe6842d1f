"""edgeproxy: a local CDN in one process."""

__version__ = "0.1.0"
