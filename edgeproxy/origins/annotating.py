"""Answers of a pool with the name of the node in them."""

from collections.abc import AsyncIterator, Mapping

from edgeproxy.core.annotating import annotated, annotated_head, bodiless_head, may_annotate
from edgeproxy.core.errors import OriginError
from edgeproxy.core.message import Request
from edgeproxy.origins.base import Reply, whole_body
from edgeproxy.origins.held import Held, Room, held

_OF_A_PART = frozenset({"range", "if-range"})


def for_the_whole(request: Request) -> Request:
    """`request` for all of the object: a part of what a node has is no part of what viewers get."""
    if not _OF_A_PART & {name.lower() for name, _ in request.headers}:
        return request
    return request.but(headers=request.headers.without(_OF_A_PART))


async def with_members(
    reply: Reply, request: Request, members: Mapping[str, str], max_bytes: int, room: Room
) -> Reply:
    """`reply` with `members` in its body if that is a JSON object of at most `max_bytes`, else as it was.

    Raises `OriginError` where its body is cut.
    """
    if not may_annotate(request.method, reply.head, max_bytes):
        reply.head = bodiless_head(request.method, reply.head, request.headers, max_bytes)
        return reply
    body: Held | None = None
    try:
        body = await held(reply.body, max_bytes, room)
        more = annotated(body.whole, members) if body.whole is not None and reply.is_delimited else None
    except OriginError as error:
        reply.close()
        error.trail = reply.trail
        raise
    except BaseException:
        reply.close()
        raise
    finally:
        if body is not None:
            # An answer of this size is held by the gateway in any case; what is longer passes through.
            body.release()
    if more is not None:
        reply.head = annotated_head(reply.head, len(more))
        reply.body = whole_body(more)
    else:
        reply.body = _again(body)
    return reply


async def _again(body: Held) -> AsyncIterator[bytes]:
    content = body.content()
    if isinstance(content, bytes):
        yield content
    else:
        async for chunk in content:
            yield chunk
