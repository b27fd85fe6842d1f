"""What keeps a function from being packed."""


class PackageError(Exception):
    """It could not be packed; the message says why in one line."""
