"""The queue of SQS for what could not be done: messages go there, and come back when somebody wants it."""

import secrets
from collections.abc import Callable

from edgeproxy.backfill.job import Job
from edgeproxy.backfill.post import AT_ONCE, Delivery, Letter, Post, PostError

_LOOK_S = 30
"""How long what is looked at is hidden from others."""


def letter(text: str) -> Letter:
    """`text` as a message of its own, also in a FIFO queue."""
    return Letter(text, secrets.token_hex(8), secrets.token_hex(8))


async def buried(post: Post, dead_url: str, text: str) -> str:
    """Put a message to the dead letters; gives why that could not be done, "" where it was."""
    try:
        (fate,) = await post.send(dead_url, [letter(text)])
    except PostError as error:
        return str(error)
    return fate.code


async def exhumed(
    post: Post,
    dead_url: str,
    url: str,
    meant: Callable[[Delivery], Job | None],
    limit: int,
    is_over: Callable[[], bool],
) -> list[Job]:
    """Send back to `url` what lies among the dead letters and is `meant`, until `is_over`; gives those jobs.

    The others are where they were, at once.  Raises `PostError`.
    """
    done: list[Job] = []
    left: list[str] = []
    while len(done) < limit and not is_over():
        came = await post.receive(dead_url, min(AT_ONCE, limit - len(done)), wait_s=0, hidden_s=_LOOK_S)
        if not came:
            break
        wanted = [(delivery, job) for delivery in came if (job := meant(delivery)) is not None]
        kept = {delivery.receipt for delivery, _ in wanted}
        left += [delivery.receipt for delivery in came if delivery.receipt not in kept]
        if not wanted:
            continue
        fates = await post.send(url, [letter(delivery.text) for delivery, _ in wanted])
        sent = [pair for pair, fate in zip(wanted, fates, strict=True) if not fate.code]
        if sent:
            await post.delete(dead_url, [delivery.receipt for delivery, _ in sent])
        done += [job for _, job in sent]
    for at in range(0, len(left), AT_ONCE):
        await post.hide(dead_url, [(receipt, 0) for receipt in left[at : at + AT_ONCE]])
    return done
