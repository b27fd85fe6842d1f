"""POST requests that read: their bodies are looked into before the cache is asked, and so are the answers."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from edgeproxy.core.behavior import reading
from edgeproxy.core.errors import OriginError
from edgeproxy.core.message import Head
from edgeproxy.core.posts import kept, read_in, unfit
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import Stored
from edgeproxy.gateway.visit import Visit
from edgeproxy.origins.base import Reply, whole_body
from edgeproxy.origins.held import Held, Room, held
from edgeproxy.store.memory import MemoryCache

# What is of the bytes as they came; without these there is nothing to ask on a condition with either.
_OF_THE_BYTES = frozenset(
    "accept-ranges content-digest content-length content-md5 digest etag last-modified repr-digest"
    " transfer-encoding".split()
)


@dataclass(frozen=True, slots=True)
class Whole:
    """A body that is at hand, and can be sent as often as it takes."""

    content: bytes

    def __aiter__(self) -> AsyncIterator[bytes]:
        return whole_body(self.content)


async def heard(visit: Visit, room: Room) -> tuple[Visit, Held | None]:
    """`visit` with what its body reads, and the body to be released when the answer has begun.

    Reads no more of it than may be looked into.  Raises `RequestError`.
    """
    policy, request = visit.behavior.posts, visit.request
    if policy is None or request.method != "POST" or request.body is None:
        return visit, None
    reason = unfit(request.headers, policy)
    if reason is not None:
        return replace(visit, unread=reason), None
    body = await held(request.body, policy.max_body, room)
    if body.whole is None:
        rest = body.content()
        assert not isinstance(rest, bytes)
        return replace(visit, request=replace(request, body=rest), unread=Reason.CALL_TOO_LARGE), body
    request = replace(request, body=Whole(body.whole))
    read = read_in(body.whole, policy)
    if isinstance(read, Reason):
        return replace(visit, request=request, unread=read), body
    return replace(visit, request=request, behavior=reading(visit.behavior, read), read=read), body


async def looked_into(
    visit: Visit, reply: Reply, stored: Stored, memory: MemoryCache
) -> tuple[Reply, Stored | Reason]:
    """The answer as it is to be stored, and its head; or as it came, and why it is not.

    All of it is read, if it is not too large; room for it is set aside meanwhile.  Raises `OriginError`.
    """
    assert visit.read is not None
    assert visit.behavior.posts is not None
    head, max_bytes = reply.head, visit.behavior.posts.max_answer
    if head.status != 200:
        return reply, Reason.STATUS_NOT_CACHED
    if "content-encoding" in head.headers:
        return reply, Reason.ANSWER_UNCLEAR
    if (head.length or 0) > max_bytes:
        return reply, Reason.TOO_LARGE
    taken = head.length if head.length is not None else max_bytes
    if not memory.reserve(taken):
        return reply, Reason.NO_ROOM
    try:
        pieces: list[bytes] = []
        size = 0
        async for piece in reply.body:
            pieces.append(piece)
            size += len(piece)
            if size > max_bytes:
                return replace(reply, body=_going_on(pieces, reply.body)), Reason.TOO_LARGE
    finally:
        memory.release(taken)
    body = b"".join(pieces)
    if head.length not in (None, size):
        raise OriginError(Reason.ORIGIN_CUT, "the body is not as long as its Content-Length says")
    found = kept(visit.read, body)
    if isinstance(found, Reason):
        return replace(reply, body=whole_body(body)), found
    reply = replace(reply, head=_with_length(head, len(found)), body=whole_body(found))
    return reply, replace(stored, head=_with_length(stored.head, len(found)))


def _with_length(head: Head, length: int) -> Head:
    fields = head.headers.without(_OF_THE_BYTES).having(("Content-Length", str(length)))
    return Head(head.status, fields)


async def _going_on(pieces: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while pieces:
        yield pieces.pop(0)
    async for piece in rest:
        yield piece
