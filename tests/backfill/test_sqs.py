"""What is special about jobs in SQS: duplicates, dead letters, messages of others, an SQS that fails."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from edgeproxy.assembly.filling import whereabouts
from edgeproxy.backfill import outbox, post
from edgeproxy.backfill.job import Ending, Job, State, Wanted
from edgeproxy.backfill.message import message_text
from edgeproxy.backfill.post import PostError
from edgeproxy.backfill.queue import QueueError
from edgeproxy.core.reason import Reason
from tests.backfill.conftest import AGAIN, STORED, TERMS, Hand, Make, job
from tests.conftest import Box, Script, ScriptedOrigin
from tests.moody import Moody, well

Boxes = Callable[..., Awaitable[Box]]
Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
DENIED = Ending(State.FAILED, Reason.WRITE_FAILED, "denied")
DEAD = Ending(State.DEAD, Reason.ORIGIN_CUT, "cut")


async def test_a_message_of_a_lambda_function_is_a_job(remote: Make, box: Box) -> None:
    made = await remote(prefixes={"media": "/production"})
    await box.put('{"v":1,"uri":"/img/a%20b.jpg","querystring":"w=1"}')
    wanted = Job("media", b"production/img/a b.jpg", "/img/a%20b.jpg", None, 5 * 2**40, "w=1", attempt=1)
    assert (await made.taken()).job == wanted


MALFORMED = {
    "no JSON": ("go away", "the message: got 'go away', want a JSON object"),
    "no path": ('{"v":1}', "uri: got None, want text"),
    "no group": ('{"v":1,"uri":"/a"}', "group: got None, want text"),
    "too deep": ("[" * 100_000, f"the message: got '{'[' * 60}', want a JSON object"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_no_job_is_told_and_deleted(remote: Make, box: Box, name: str) -> None:
    text, why = MALFORMED[name]
    made = await remote(group=None)
    await box.put(text)
    assert await made.leased() is None
    assert await made.counts() == {}
    assert made.faults == [f"backfill queue: {box.url}: a message is no job: {why} (1 faults so far)"]


async def test_what_is_no_job_goes_to_the_dead_letters_as_it_was(
    remote: Make, box: Box, box_of: Boxes
) -> None:
    dead = await box_of()
    made = await remote(dead_letter_url=dead.url)
    await box.put("go away")
    assert await made.leased() is None
    assert await made.counts() == {"dead": 1}
    assert await dead.texts() == ["go away"]


async def test_with_a_redrive_policy_sqs_moves_what_is_no_job(remote: Make, box: Box, box_of: Boxes) -> None:
    dead = await box_of()
    await box.redrives(dead, 3)
    made = await remote()
    await box.put("go away")
    while await box.held() != (0, 0):
        assert await made.leased() is None
        await made.queue.written()
    assert await dead.texts() == ["go away"]


async def test_jobs_of_other_groups_are_left_to_others(remote: Make, box: Box, clock: Hand) -> None:
    made, other = await remote(), await remote(prefixes={"other": ""})
    await box.put(message_text(job("a", "other")))
    assert await made.leased() is None
    assert await made.counts() == {"leased": 1}
    clock.time += 31
    assert (await other.taken()).job.key == b"a"
    assert made.faults == [
        f"backfill queue: {box.url}: a job is for the group 'other', which is not here (1 faults so far)"
    ]


@pytest.mark.parametrize("ending", [DENIED, DEAD], ids=["failed", "dead"])
async def test_without_dead_letters_what_cannot_be_done_is_deleted(
    remote: Make, box: Box, ending: Ending
) -> None:
    made = await remote()
    await made.put(job("a"))
    assert await made.queue.settle(await made.taken(), ending, 1)
    assert await made.counts() == {ending.state.value: 1}
    assert await box.held() == (0, 0)
    assert await made.queue.retry(Wanted()) == 1
    assert (await made.taken()).job.key == b"a"


@pytest.mark.parametrize("ending", [DENIED, DEAD], ids=["failed", "dead"])
async def test_what_cannot_be_done_is_put_with_the_dead_letters(
    remote: Make, box: Box, box_of: Boxes, ending: Ending
) -> None:
    dead = await box_of()
    made = await remote(dead_letter_url=dead.url)
    await made.put(job("a"))
    assert await made.queue.settle(await made.taken(), ending, 1)
    await made.queue.written()
    assert await box.held() == (0, 0)
    assert await dead.texts() == [message_text(job("a"))]


async def test_with_a_redrive_policy_sqs_moves_what_cannot_be_done(
    remote: Make, box: Box, box_of: Boxes
) -> None:
    dead = await box_of()
    await box.redrives(dead, 3)
    made = await remote()
    await made.put(job("a"))
    assert await made.queue.settle(await made.taken(), DENIED, 1)
    while await box.held() != (0, 0):
        assert await made.leased() is None, "it is known that it cannot be done"
        await made.queue.written()
    assert await dead.texts() == [message_text(job("a"))]
    assert made.faults == []


async def test_dead_letters_are_tried_again(remote: Make, box: Box, box_of: Boxes) -> None:
    dead = await box_of()
    await box.redrives(dead, 10)
    made = await remote(replace(TERMS, capacity=20))
    await dead.put("go away", *(message_text(job(name)) for name in ("a1", "a2", "b")))
    assert await made.counts() == {"dead": 4}
    assert await made.queue.retry(Wanted(frozenset({State.SKIPPED}))) == 0
    assert await made.queue.retry(Wanted(group="other")) == 0
    assert await made.queue.retry(Wanted(prefix=b"a")) == 2
    assert {(await made.taken()).job.key for _ in range(2)} == {b"a1", b"a2"}
    assert await made.queue.retry(Wanted(limit=1)) in (0, 1)
    assert await made.queue.retry(Wanted()) in (0, 1)
    assert (await made.taken()).job.key == b"b"
    assert await dead.texts() == ["go away"]


async def test_a_number_means_the_dead_letter_of_that_job(remote: Make, box: Box, box_of: Boxes) -> None:
    dead = await box_of()
    made = await remote(dead_letter_url=dead.url)
    for name in "ab":
        await made.put(job(name))
        await made.queue.settle(await made.taken(), DEAD, 1)
    await made.queue.written()
    assert await made.queue.retry(Wanted(number=2)) == 1
    assert (await made.taken()).job.key == b"b"
    assert await made.counts() == {"leased": 1, "dead": 1}


async def test_of_two_messages_for_one_object_one_is_done(remote: Make, box: Box) -> None:
    made = await remote()
    await box.put(*[message_text(job("a"))] * 2)
    lease = await made.taken()
    assert await made.leased() is None
    assert await made.counts() == {"leased": 1}
    assert await made.queue.settle(lease, STORED, 1)
    assert await made.counts() == {"stored": 1}


async def test_a_message_that_comes_for_what_is_taken_is_held_with_it(
    remote: Make, box: Box, clock: Hand
) -> None:
    made = await remote()
    lease = await made.took(job("a"))
    assert await made.counts() == {"leased": 1}
    assert made.queue.offer(job("a")) is Reason.QUEUED_ALREADY
    await box.put(message_text(job("a")))
    assert await made.leased() is None
    assert await box.held() == (0, 1)
    clock.time += 20
    assert await made.queue.extend([lease]) == []
    clock.time += 20
    assert await made.leased() is None, "it is extended too"
    assert await made.queue.settle(lease, STORED, 1)
    assert await made.counts() == {"stored": 1}
    assert await box.held() == (0, 0)


async def test_who_takes_leaves_room_for_those_who_wait_for_jobs(remote: Make) -> None:
    made = await remote(appetite=1)
    await made.took(job("a"))
    await made.put(job("b"))
    assert (await made.taken()).job.key == b"b"


@pytest.mark.parametrize("suffix", ["", ".fifo"])
async def test_what_was_taken_and_is_not_done_becomes_a_message(
    remote: Make, box_of: Boxes, clock: Hand, suffix: str
) -> None:
    box = await box_of(suffix, **({"FifoQueue": "true"} if suffix else {}))
    made = await remote(url=box.url)
    assert await made.queue.settle(await made.took(job("a")), AGAIN, 1, 9.1)
    await made.queue.release(await made.took(job("b")))
    await made.queue.written()
    assert await made.counts() == {"queued": 2}
    first = await made.taken()
    if not suffix:
        # A message of a FIFO queue cannot be delayed.
        assert first.job == replace(job("b"), attempt=1)
        assert await made.leased() is None
    clock.time += 10
    names = {b"a", b"b"} - {first.job.key}
    assert {(await made.taken()).job.key} == names


async def test_what_was_taken_is_not_sent_again_while_its_message_is_under_way(
    remote: Make, box: Box
) -> None:
    made = await remote()
    await made.put(job("a"))
    await made.queue.release(await made.took(job("a")), 5, Reason.SOURCE_BUSY)
    assert await made.queue.take(job("a")) is Reason.RETRY_LATER
    await made.queue.written()
    assert await box.held() == (1, 0)


async def test_what_was_taken_and_finds_no_room_is_dead(remote: Make, box: Box) -> None:
    made = await remote(replace(TERMS, capacity=0))
    assert await made.queue.settle(await made.took(job("a")), AGAIN, 1, 10)
    (entry,) = await made.queue.entries(Wanted())
    assert (entry.state, entry.reason, entry.message) == (State.DEAD, Reason.QUEUE_FULL, "cut")


async def test_what_was_taken_and_cannot_be_done_has_no_message_to_move(
    remote: Make, box: Box, box_of: Boxes
) -> None:
    dead = await box_of()
    await box.redrives(dead, 3)
    made = await remote()
    assert await made.queue.settle(await made.took(job("a")), DENIED, 1)
    assert await made.queue.retry(Wanted()) == 1
    assert (await made.taken()).job.key == b"a"
    made = await remote(dead_letter_url=dead.url)
    assert await made.queue.settle(await made.took(job("b")), DENIED, 1)
    await made.queue.written()
    assert await dead.texts() == [message_text(job("b"))]


async def test_to_others_what_is_given_back_is_an_attempt(remote: Make, box: Box, clock: Hand) -> None:
    made, other = await remote(), await remote()
    await made.put(job("a"))
    await made.queue.release(await made.taken(), 19.2, Reason.SOURCE_DOWN)
    clock.time += 19.5
    assert await other.leased() is None, "whole seconds, and none too few"
    assert made.queue.offer(job("a")) is Reason.QUEUED_ALREADY
    clock.time += 1
    lease = await other.taken()
    assert lease.job.attempt == 2
    await other.queue.release(lease)
    assert (await made.taken()).job.attempt == 2, "one of two receipts was its own"


async def test_what_is_here_or_was_put_back_from_here_is_cancelled(
    remote: Make, box: Box, clock: Hand
) -> None:
    made = await remote(replace(TERMS, capacity=20, history=20), appetite=20)
    await made.put(*map(job, ("extended", "retried", "released", "lost", "delayed", "stored")))
    leases = {lease.job.key: lease for lease in [await made.taken() for _ in range(6)]}
    assert await made.queue.settle(leases[b"delayed"], AGAIN, 1, 100)
    taken = await made.took(job("taken"))
    await box.put(message_text(job("unbegun")))
    await made.queue.arrival()
    assert await made.queue.cancel(Wanted()) == 8
    assert await made.queue.cancel(Wanted()) == 0, "they are already"
    assert await made.leased() is None
    assert await made.counts() == {"leased": 6, "skipped": 2}
    assert await made.queue.settle(leases[b"stored"], STORED, 1), "that cannot be undone"
    assert await made.queue.extend([taken, leases[b"extended"]]) == [taken, leases[b"extended"]]
    assert await made.queue.settle(leases[b"retried"], AGAIN, 1, 10)
    await made.queue.release(leases[b"released"], 10)
    await made.queue.written()
    assert await box.held() == (0, 1)
    clock.time += 30
    assert await made.queue.take(job("lost")) is Reason.RETRY_LATER
    assert await made.leased() is None
    assert await made.counts() == {"skipped": 7, "stored": 1}
    assert await box.held() == (0, 0)
    ended = await made.queue.entries(Wanted(frozenset({State.SKIPPED})))
    assert {entry.reason for entry in ended} == {Reason.CANCELLED}
    assert await made.queue.retry(Wanted(prefix=b"delayed")) == 1
    assert (await made.taken()).job.key == b"delayed"


async def test_what_is_done_and_comes_again_is_acknowledged_again(
    remote: Make, box: Box, clock: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await remote()

    async def fails(*_: object) -> None:
        raise PostError("SQS says ServiceUnavailable")

    await made.put(job("a"))
    with monkeypatch.context() as patched:
        patched.setattr(made.post, "delete", fails)
        patched.setattr(made.queue, "_rest_s", lambda _: 0.0)
        assert await made.queue.settle(await made.taken(), STORED, 1)
        await made.queue.written()
    assert made.queue.faults == 4
    assert await box.held() == (0, 1)
    clock.time += 31
    assert await made.leased() is None
    assert await made.counts() == {"stored": 1}
    assert await box.held() == (0, 0)


async def test_a_hot_key_is_one_message(remote: Make, box: Box, clock: Hand) -> None:
    made = await remote()
    for _ in range(1000):
        made.queue.offer(job("a"))
        await asyncio.sleep(0)
    assert await made.put(job("a")) == [Reason.QUEUED_ALREADY]
    assert await box.held() == (1, 0)
    clock.time += 301
    assert await made.put(job("a")) == [None]


async def test_of_several_who_send_to_a_fifo_queue_one_is_heard(remote: Make, box_of: Boxes) -> None:
    box = await box_of(".fifo", FifoQueue="true")
    one, other = await remote(url=box.url), await remote(url=box.url)
    assert await one.put(job("a"), job("b")) == await other.put(job("a")) + [None]
    assert {(await one.taken()).job.key for _ in range(2)} == {b"a", b"b"}
    assert await one.counts() == {"leased": 2}


async def test_a_job_that_is_gone_from_sqs_is_lost(remote: Make, box: Box) -> None:
    made = await remote()
    await made.put(job("a"))
    lease = await made.taken()
    await box.client.purge_queue(QueueUrl=box.url)
    assert await made.queue.extend([lease]) == [lease]
    assert not await made.queue.settle(lease, AGAIN, 1)


async def test_many_go_together(remote: Make, scripted: Starts, moto: str) -> None:
    moody = Moody(moto)
    made = await remote(replace(TERMS, capacity=100), endpoint=(await scripted(moody)).url, appetite=20)
    for n in range(95):
        made.queue.offer(job(str(n)))
    assert await made.queue.written() == 0
    assert moody.asked.count("SendMessageBatch") == 10
    leases = [await made.taken() for _ in range(20)]
    assert moody.asked.count("ReceiveMessage") == 2
    await asyncio.gather(*(made.queue.settle(lease, STORED, 1) for lease in leases))
    assert await made.counts() == {"queued": 75, "stored": 2}
    # The first goes alone, as nobody else is there yet.
    assert moody.asked.count("DeleteMessageBatch") <= 3


def test_what_goes_together_fits_a_request() -> None:
    letters = {("media", str(n).encode()): post.Letter("x" * 100_000, "", "") for n in range(12)}
    sizes = [len(batch) for batch in outbox._batches(letters)]
    assert sizes == [2, 2, 2, 2], "four requests, the rest later"


async def test_jobs_wait_in_memory_while_sqs_is_down(
    remote: Make, box: Box, scripted: Starts, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "_PATIENCE_S", 0.2)
    moody = Moody(moto, lambda _: 503)
    made = await remote(endpoint=(await scripted(moody)).url)
    monkeypatch.setattr(made.queue._outbox, "_rest_s", lambda _: 0.01)
    assert [made.queue.offer(job(name)) for name in "abcd"] == [None, None, None, Reason.QUEUE_FULL]
    assert await made.queue.written() == 3
    assert await made.counts() == {}
    for mood in ("ThrottlingException", "RequestThrottled", "hang"):
        moody.mood = lambda _, mood=mood: mood
        faults = made.queue.faults
        while made.queue.faults == faults:
            await asyncio.sleep(0.01)
    assert await made.leased() is None
    moody.mood = well
    while await made.queue.written():
        await asyncio.sleep(0.01)
    assert await box.held() == (3, 0)
    assert made.faults == [f"backfill queue: {box.url}: SQS says 503 (1 faults so far)"]


async def test_what_could_not_be_sent_is_counted_at_the_end(
    remote: Make, scripted: Starts, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "_PATIENCE_S", 0.1)
    made = await remote(endpoint=(await scripted(Moody(moto, lambda _: "hang"))).url)
    made.queue.offer(job("a"))
    assert await made.queue.written() == 1
    await made.queue.close()


async def test_a_message_that_sqs_refuses_is_not_tried_again(
    remote: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await remote()

    async def refuses(_: str, letters: list[object]) -> list[post.Fate]:
        return [post.Fate("InvalidMessageContents", is_final=True)] * len(letters)

    monkeypatch.setattr(made.post, "send", refuses)
    assert await made.put(job("a")) == [Reason.QUEUE_REFUSED]


@pytest.mark.parametrize(
    ("mood", "wanted"),
    [
        ("QueueDoesNotExist", "there is no such queue (QueueDoesNotExist)"),
        ("AccessDeniedException", "the keys are refused (AccessDeniedException)"),
        ("InvalidClientTokenId", "the keys are refused (InvalidClientTokenId)"),
    ],
)
async def test_a_queue_that_is_not_for_us_is_one_line(
    remote: Make, box: Box, scripted: Starts, moto: str, mood: str, wanted: str
) -> None:
    origin = await scripted(Moody(moto, lambda _: mood))
    with pytest.raises(QueueError) as caught:
        await remote(endpoint=origin.url)
    assert str(caught.value) == f"{box.url}: {wanted}"


async def test_a_queue_by_its_name(remote: Make, box: Box) -> None:
    made = await remote(url=None, name=box.url.rpartition("/")[2])
    assert await made.put(job("a")) == [None]
    assert (await made.taken()).job.key == b"a"
    with pytest.raises(QueueError, match=r"^queue nowhere: there is no such queue"):
        await remote(url=None, name="nowhere")


async def test_who_waits_asks_for_no_more_than_is_worked_at(
    remote: Make, scripted: Starts, moto: str, box: Box
) -> None:
    made = await remote(replace(TERMS, capacity=9), appetite=2)
    await made.put(*map(job, "abcde"))
    leases = [await made.taken() for _ in range(2)]
    made.queue.wake()
    assert await made.leased() is None
    assert await box.held() == (3, 2)
    await made.queue.settle(leases[0], STORED, 1)
    await made.taken()
    assert await box.held() == (2, 2)


async def test_a_policy_that_gives_up_sooner_is_told(remote: Make, box: Box, box_of: Boxes) -> None:
    await box.redrives(await box_of(), 1)
    made = await remote()
    assert made.faults == [
        f"backfill queue: {box.url}: gives up after 1 receipts, before backfill.attempts, which is 2"
    ]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((None, None, None), ("us-east-1", None)),
        ((None, "eu-west-1", "http://x:1"), ("eu-west-1", "http://x:1")),
        (
            ("https://sqs.eu-west-1.amazonaws.com/1/fill", None, None),
            ("eu-west-1", "https://sqs.eu-west-1.amazonaws.com"),
        ),
        (("https://a.sqs.cn-north-1.vpce.amazonaws.com.cn/1/f", None, None), ("cn-north-1", "https://a.sqs.cn-north-1.vpce.amazonaws.com.cn")),
        (("http://127.0.0.1:9324/000000000000/fill", None, None), ("us-east-1", "http://127.0.0.1:9324")),
        (("http://sqs:9324/0/fill", "eu-west-3", "http://127.0.0.1:1"), ("eu-west-3", "http://127.0.0.1:1")),
    ],
)  # fmt: skip
def test_a_url_says_where(given: tuple[str | None, ...], wanted: tuple[str, str | None]) -> None:
    assert whereabouts(*given) == wanted
