"""Filling the bucket behind the viewer's back: jobs, their queue, the worker, the writer."""
