"""Takes messages from the queue and copies each object from the full origin into the bucket.

What cannot succeed is told in the log and taken for done, so that it does not circle: an object that the
origin has not, a message that is none. What may yet succeed goes back to the queue alone
(`ReportBatchItemFailures`), and by its redrive policy to the dead letters in the end: so does what the
bucket refuses, which is a matter of rights or settings, and no message's fault.
"""

import asyncio
from typing import Any

from edgeproxy.backfill.copying import OF_THE_BUCKET
from edgeproxy.backfill.job import Failed, Job, Outcome, Skipped, Stored
from edgeproxy.backfill.message import MessageError, job_of
from edgeproxy.core.message import Headers, Request
from edgeproxy.lambdas import settings
from edgeproxy.lambdas.bucket import filled
from edgeproxy.lambdas.process import Context, handler_of, log, remaining_s
from edgeproxy.lambdas.reading import EventError, at, short, text

_AT_ONCE = 4
"""Each holds two parts in memory."""
_MARGIN_S = 2.0
_LEAST_S = 1.0


async def main(event: Any, context: Context) -> dict[str, list[dict[str, str]]]:
    """`{"batchItemFailures": [{"itemIdentifier": id}]}`: what is to come again."""
    records = at(event, "Records")
    if not isinstance(records, list):
        raise EventError(f"Records: got {short(records)}, want a list of messages")
    ids = [text(event, "Records", number, "messageId") for number in range(len(records))]
    bodies = [at(record, "body") for record in records]
    origin = settings.url("external_endpoint", "FULL_ORIGIN")
    prefix = settings.folder("s3_prefix")
    at_once = asyncio.Semaphore(_AT_ONCE)
    # One that takes long must not take those with it that are done.
    ending = asyncio.get_running_loop().time() + remaining_s(context) - _MARGIN_S

    async def is_done(body: object) -> bool:
        try:
            if not isinstance(body, str):
                raise MessageError(f"body: got {short(body)}, want text")
            job = job_of(body, prefix=prefix)
        except MessageError as error:
            log(f"dropped: {error}")
            return True
        try:
            async with at_once, asyncio.timeout_at(ending):
                left_s = ending - asyncio.get_running_loop().time()
                outcome = await filled(
                    _request(job),
                    job.key,
                    origin,
                    timeout_s=max(_LEAST_S, left_s),
                    max_bytes=job.max_bytes,
                )
        except TimeoutError:
            log(f"again: {job}: there was no time left")
            return False
        except settings.SettingError:
            raise
        except Exception as error:
            # Of one message alone: the others are none the worse for it.
            log(f"again: {job}: {type(error).__name__}: {error}")
            return False
        return _is_end(job, outcome)

    done = await asyncio.gather(*(is_done(body) for body in bodies), return_exceptions=True)
    for ended in done:
        if isinstance(ended, BaseException):
            raise ended
    return {
        "batchItemFailures": [
            {"itemIdentifier": id_} for id_, ended in zip(ids, done, strict=True) if not ended
        ]
    }


def _request(job: Job) -> Request:
    return Request("GET", job.path, job.query, Headers(job.headers))


def _is_end(job: Job, outcome: Outcome) -> bool:
    match outcome:
        case Stored():
            log(f"stored: {job}: {outcome.size} bytes")
        case Skipped():
            log(f"skipped: {job}: {outcome.reason}")
        case Failed():
            is_end = outcome.is_final and outcome.reason not in OF_THE_BUCKET
            log(f"{'failed' if is_end else 'again'}: {job}: {outcome.reason}: {outcome.message}")
            return is_end
    return True


handler = handler_of(main)
