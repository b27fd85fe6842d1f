"""Which page stands in for which error."""

import pytest

from edgeproxy.core.error_pages import ErrorPage, page_for, page_request
from edgeproxy.core.message import Headers, Request
from edgeproxy.core.reason import Reason
from tests.core.conftest import rows

PAGE = ErrorPage(404, "/errors/404.html", 404)
APP = ErrorPage(403, "/index.html", 200)
GUIDE = "CloudFront, Create a custom error page"


@pytest.mark.parametrize(
    ("status", "reason", "path", "expected"),
    rows(
        ("an origin's error", 404, None, "/a", PAGE, GUIDE),
        ("an error under another code", 403, None, "/a", APP, GUIDE),
        ("an error that is not cached", 404, Reason.NO_STORE, "/a", PAGE, GUIDE),
        ("an error made here", 403, Reason.METHOD_NOT_ALLOWED, "/a", APP, GUIDE),
        ("an error without a page", 500, None, "/a", None, GUIDE),
        ("no error", 200, None, "/a", None, GUIDE),
        ("the page itself", 404, None, PAGE.path, None, "our choice"),
        ("another page, missing", 404, None, APP.path, PAGE, GUIDE),
        ("an unsafe request", 403, Reason.BAD_PATH, "/a", None, GUIDE),
        ("a host that is not ours", 403, Reason.BAD_HOST, "/a", None, "our choice"),
    ),
)
def test_page_for(status: int, reason: Reason | None, path: str, expected: ErrorPage | None) -> None:
    assert page_for(status, reason, path, (PAGE, APP)) == expected


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_the_whole_page_is_asked_for(method: str) -> None:
    fields = Headers(
        [("Range", "bytes=0-1"), ("If-None-Match", '"a"'), ("Accept-Encoding", "br"), ("X-Test", "1")]
    )
    request = Request(method, "/a", "q=1", fields, "www.example.com", viewer="192.0.2.1")
    assert page_request(request, PAGE) == Request(
        "GET",
        PAGE.path,
        headers=Headers([("Accept-Encoding", "br"), ("X-Test", "1")]),
        host="www.example.com",
        viewer="192.0.2.1",
    )
