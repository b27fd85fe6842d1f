"""CloudFront's API for invalidations: what `aws cloudfront create-invalidation --endpoint-url ...` talks to.

An invalidation is done when CreateInvalidation answers.  CloudFront API Reference, 2020-05-31.
"""

import secrets
import string
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from aiohttp import web

from edgeproxy.admin.access import TooLargeError, body_of, is_given, is_local, is_of_a_page
from edgeproxy.admin.history import History
from edgeproxy.admin.operated import NotDoneError, Operated
from edgeproxy.admin.signature import is_signed
from edgeproxy.core.batch import ApiError, Recorded, invalid
from edgeproxy.core.cloudfront_xml import batch_of, error_xml, invalidation_xml, page_xml
from edgeproxy.store.folder import DiskError

ROOT = "/2020-05-31/"
_MAX_BODY = 4 * 2**20
_MAX_ITEMS = 100
_ID_CHARS = string.ascii_uppercase + string.digits

_Handler: TypeAlias = Callable[[web.Request, bytes], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Invalidations:
    """The API for one distribution. `now` gives POSIX seconds."""

    app: Operated
    distribution_id: str
    token: str | None = field(repr=False)
    now: Callable[[], float]
    history: History = field(default_factory=History)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Answer under `ROOT`."""
        path = f"{ROOT}distribution/{{distribution}}/invalidation"
        router.add_post(path, self._answering(self._create))
        router.add_get(path, self._answering(self._list))
        router.add_get(f"{path}/{{id}}", self._answering(self._get))
        router.add_route("*", f"{ROOT}{{rest:.*}}", self._answering(self._nothing))

    def _answering(self, handler: _Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            request_id = str(uuid.uuid4())
            try:
                response = await handler(request, await self._admitted(request))
            except ApiError as error:
                response = _xml(error_xml(error, request_id), error.status)
            response.headers["x-amzn-RequestId"] = request_id
            return response

        return answer

    async def _admitted(self, request: web.Request) -> bytes:
        """The body of a request that may be answered.  Raises `ApiError`."""
        if self.token is None and (not is_local(request) or is_of_a_page(request)):
            raise ApiError("AccessDenied", 403, "The request does not come from this machine, or for a page.")
        is_bearer = self.token is None or is_given(self.token, request)
        if not is_bearer and "Authorization" not in request.headers:
            said = "The request is not signed: the admin token is the secret access key."
            raise ApiError("MissingAuthenticationToken", 403, said)
        try:
            body = await body_of(request, _MAX_BODY)
        except TooLargeError:
            raise ApiError("BatchTooLarge", 413, f"Your request has more than {_MAX_BODY} bytes.") from None
        except web.RequestPayloadError:
            raise ApiError("MalformedInput", 400, "The body is not in its Content-Encoding.") from None
        if not is_bearer and not self._is_signed(request, body):
            said = "The signature is not that of the admin token as secret access key, or 15 minutes old."
            raise ApiError("SignatureDoesNotMatch", 403, said)
        if request.match_info.get("distribution", self.distribution_id) != self.distribution_id:
            raise ApiError("NoSuchDistribution", 404, "The specified distribution does not exist.")
        return body

    def _is_signed(self, request: web.Request, body: bytes) -> bool:
        return self.token is not None and is_signed(
            self.token,
            service="cloudfront",
            method=request.method,
            target=request.raw_path,
            headers=request.headers,
            body=body,
            now=self.now(),
        )

    async def _create(self, request: web.Request, body: bytes) -> web.Response:
        batch = batch_of(body)
        batch.invalidations()
        recorded, is_new = self.history.begin(batch, _new_id(), _date(self.now()))
        if is_new:
            recorded = await self._done(recorded)
        location = f"{request.scheme}://{request.host}{request.rel_url.raw_path}/{recorded.id}"
        return _xml(invalidation_xml(recorded), 201, {"Location": location})

    async def _done(self, recorded: Recorded) -> Recorded:
        try:
            await self.app.invalidate(list(recorded.batch.paths))
        except (DiskError, NotDoneError) as error:
            raise ApiError("ServiceUnavailable", 503, f"Not invalidated: {error}.") from error
        else:
            return self.history.complete(recorded.id)
        finally:
            self.history.drop_unfinished(recorded.id)

    async def _get(self, request: web.Request, _: bytes) -> web.Response:
        return _xml(invalidation_xml(self.history.find(request.match_info["id"])))

    async def _nothing(self, request: web.Request, _: bytes) -> web.Response:
        """SDKs make sense of an error in XML alone."""
        known = f"{ROOT}distribution/{self.distribution_id}/invalidation"
        said = "Only CreateInvalidation, GetInvalidation and ListInvalidations are answered"
        raise ApiError("NoSuchResource", 404, f"{said}, at {known}.")

    async def _list(self, request: web.Request, _: bytes) -> web.Response:
        text = request.query.get("MaxItems", "") or str(_MAX_ITEMS)
        if not (text.isascii() and text.isdigit() and int(text[:9])):
            raise invalid(f"MaxItems: got {text}, want a number from 1 to {_MAX_ITEMS}")
        page = self.history.page(request.query.get("Marker", ""), min(int(text[:9]), _MAX_ITEMS))
        return _xml(page_xml(page))


def _new_id() -> str:
    return "I" + "".join(secrets.choice(_ID_CHARS) for _ in range(13))


def _date(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _xml(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, content_type="text/xml", headers=headers)
