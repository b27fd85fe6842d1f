"""What the URL of a queue says of where it is.

AWS General Reference, "Amazon SQS endpoints and quotas"; SQS Developer Guide, "VPC endpoints".
"""

import re
from urllib.parse import urlsplit

_HOST = re.compile(
    r"(?:.+\.)?sqs(?:-fips)?\.([a-z0-9-]+)\."
    r"(?:(?:vpce\.)?amazonaws\.com(?:\.cn)?|api\.(?:aws|amazonwebservices\.com\.cn))"
    r"|([a-z0-9-]+)\.queue\.amazonaws\.com(?:\.cn)?"
)


def region_of(url: str) -> str | None:
    """The region, which the hosts of AWS name; None of any other, such as one that speaks as SQS does."""
    match = _HOST.fullmatch(urlsplit(url).hostname or "")
    return (match[1] or match[2]) if match is not None else None


def endpoint_of(url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
