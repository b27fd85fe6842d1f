"""Custom error pages: which page stands in for an error, and under which status.

CloudFront Developer Guide, "Create a custom error page for specific HTTP status codes".
"""

from dataclasses import dataclass, replace

from edgeproxy.core.forwarding import unconditional
from edgeproxy.core.message import Request
from edgeproxy.core.reason import Reason

# What is no request of a distribution's, or may be unsafe, gets no page; nor does what is our own affair.
_BARE = frozenset(
    {Reason.BAD_REQUEST, Reason.BAD_HOST, Reason.BAD_PATH, Reason.DRAINING, Reason.INTERNAL, Reason.LOOP}
)


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """For errors with the status `error_code`: the page at `path`, sent with the status `response_code`."""

    error_code: int
    path: str
    response_code: int


def page_for(status: int, reason: Reason | None, path: str, pages: tuple[ErrorPage, ...]) -> ErrorPage | None:
    """The page in place of an answer with `status` and `reason` to a request for `path`; None if none is.

    A page that is missing does not stand in for itself.
    """
    if reason in _BARE:
        return None
    return next((page for page in pages if page.error_code == status and page.path != path), None)


def page_request(request: Request, page: ErrorPage) -> Request:
    """The request for `page` that `request` gives rise to: the whole page, whatever was asked.

    The viewer's other fields stay, so that the page comes in the coding or language that its
    behaviour keeps apart.
    """
    whole = unconditional(request)
    return replace(whole, method="GET", path=page.path, query="", body=None, websocket=False)
