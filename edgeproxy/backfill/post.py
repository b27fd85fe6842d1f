"""Amazon SQS, or what speaks as it does, by aiobotocore. No exception of botocore's leaves this file.

SQS API Reference; a request takes up to ten messages, which fail each for itself.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from edgeproxy.aws import client as aws_client
from edgeproxy.origins.localhost import Resolver

T = TypeVar("T")

AT_ONCE = 10
"""Messages in one request."""
MAX_HIDDEN_S = 43_200
"""How long a message can be held, from its receipt on."""
MAX_DELAY_S = 900
"""How long a message can be delayed when it is sent."""
_PATIENCE_S = 5.0
"""How long a request may take, beyond the time for which it is to wait for messages."""

_REFUSED = frozenset(
    "AccessDenied AccessDeniedException InvalidClientTokenId UnrecognizedClientException"
    " SignatureDoesNotMatch InvalidSignatureException MissingAuthenticationToken InvalidAccessKeyId"
    " ExpiredToken ExpiredTokenException InvalidSecurity NoCredentialsError PartialCredentialsError"
    " KmsAccessDenied KMS.AccessDeniedException".split()
)
_UNKNOWN = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "InvalidAddress"})
_GONE = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"})
_NEVER_TAKEN = frozenset(
    "InvalidMessageContents InvalidParameterValue MessageTooLong BatchRequestTooLong".split()
)


class PostError(Exception):
    """A request failed; the message says why. `is_final` = so will others, until somebody sees to it."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class Facts:
    """What SQS says of a queue."""

    url: str
    is_fifo: bool
    max_receives: int | None
    """After so many receipts SQS moves a message to the dead-letter queue; None: there is none."""
    dead_url: str | None
    """The dead-letter queue, where we may know it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to be sent. The ids are for FIFO queues."""

    text: str
    group: str
    once: str
    """Of several with the same, within five minutes, SQS takes one."""
    delay_s: int = 0
    """How long nobody gets it, up to `MAX_DELAY_S`; a FIFO queue delivers it at once."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was received."""

    id: str
    receipt: str
    """Whoever has it may delete the message, or hide it."""
    text: str
    count: int
    """How often it was received, this time included."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one of several; with neither it was done."""

    code: str = ""
    """Why it was not."""
    is_final: bool = False
    """It never will be: the message is none, or it is not ours any more."""


DONE = Fate()


class Post:
    """The requests that a queue needs. Raises `PostError` where one fails as a whole."""

    def __init__(
        self, region: str, endpoint: str | None, keys: tuple[str, str, str | None] | None, *, wait_s: float
    ) -> None:
        config: dict[str, Any] = {
            "connect_timeout": _PATIENCE_S,
            "read_timeout": wait_s + _PATIENCE_S,
            # Whoever asks has a schedule of its own.
            "retries": {"mode": "standard", "total_max_attempts": 1},
            "connector_args": {"resolver": Resolver()},
        }
        self._place = endpoint or region
        self._connecting = partial(aws_client, "sqs", region, endpoint, keys, config)
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def open(self) -> None:
        """Make the client; nothing is sent yet."""
        self._client = await self._stack.enter_async_context(self._connecting())

    async def close(self) -> None:
        """Close the client's connections."""
        await self._stack.aclose()

    async def facts(self, url: str | None, name: str | None) -> Facts:
        """What there is to know of the queue with this URL, or else this name."""
        if url is None:
            url = str((await self._ask("get_queue_url", QueueName=name))["QueueUrl"])
        attributes = await self._attributes(url)
        try:
            policy = json.loads(attributes.get("RedrivePolicy") or "{}")
            max_receives = int(policy["maxReceiveCount"]) if policy else None
            dead = str(policy.get("deadLetterTargetArn", ""))
        except (ValueError, KeyError, AttributeError):
            max_receives, dead = None, ""
        return Facts(url, url.endswith(".fifo"), max_receives, await self._url_of(dead) if dead else None)

    async def _url_of(self, arn: str) -> str | None:
        """The URL of `arn:aws:sqs:<region>:<account>:<name>`; None where we may not know it."""
        *_, account, name = ["", "", *arn.split(":")]
        try:
            answer = await self._ask("get_queue_url", QueueName=name, QueueOwnerAWSAccountId=account)
        except PostError:
            return None
        return str(answer["QueueUrl"])

    async def counts(self, url: str) -> tuple[int, int]:
        """About how many messages wait, and how many are held or wait for a while."""
        attributes = await self._attributes(url)
        name = "ApproximateNumberOfMessages"
        waiting, delayed, hidden = (
            int(attributes.get(f"{name}{which}") or 0) for which in ("", "Delayed", "NotVisible")
        )
        return waiting + delayed, hidden

    async def _attributes(self, url: str) -> Mapping[str, str]:
        answer = await self._ask("get_queue_attributes", QueueUrl=url, AttributeNames=["All"])
        found: Mapping[str, str] = answer.get("Attributes") or {}
        return found

    async def receive(self, url: str, count: int, *, wait_s: float, hidden_s: int) -> list[Delivery]:
        """Up to `count` messages, hidden from others; none if none comes in time."""
        answer = await self._ask(
            "receive_message",
            wait_s,
            QueueUrl=url,
            MaxNumberOfMessages=min(count, AT_ONCE),
            WaitTimeSeconds=int(wait_s),
            VisibilityTimeout=hidden_s,
            AttributeNames=["ApproximateReceiveCount"],
        )
        try:
            return [
                Delivery(
                    message["MessageId"],
                    message["ReceiptHandle"],
                    message.get("Body") or "",
                    int((message.get("Attributes") or {}).get("ApproximateReceiveCount") or 1),
                )
                for message in answer.get("Messages") or []
            ]
        except (KeyError, ValueError) as error:
            raise PostError("SQS answers with a message that is none") from error

    async def send(self, url: str, letters: Sequence[Letter]) -> list[Fate]:
        """Send up to ten."""
        is_fifo = url.endswith(".fifo")
        return await self._each(
            "send_message_batch",
            url,
            [
                {"MessageBody": letter.text}
                | (
                    {"MessageGroupId": letter.group, "MessageDeduplicationId": letter.once}
                    if is_fifo
                    else {"DelaySeconds": letter.delay_s}
                )
                for letter in letters
            ],
            _NEVER_TAKEN,
        )

    async def delete(self, url: str, receipts: Sequence[str]) -> list[Fate]:
        """Delete up to ten."""
        entries = [{"ReceiptHandle": receipt} for receipt in receipts]
        return await self._each("delete_message_batch", url, entries, _GONE)

    async def hide(self, url: str, receipts: Sequence[tuple[str, int]]) -> list[Fate]:
        """Let up to ten be hidden for so many seconds from now on; 0 shows them to all at once."""
        entries = [{"ReceiptHandle": receipt, "VisibilityTimeout": hidden} for receipt, hidden in receipts]
        return await self._each("change_message_visibility_batch", url, entries, _GONE)

    async def _each(
        self, what: str, url: str, entries: Sequence[Mapping[str, Any]], final: frozenset[str]
    ) -> list[Fate]:
        numbered = [{"Id": str(number), **entry} for number, entry in enumerate(entries)]
        answer = await self._ask(what, QueueUrl=url, Entries=numbered)
        fates = [DONE] * len(entries)
        for failure in answer.get("Failed") or []:
            code = str(failure.get("Code", "")).rpartition(".")[2] or "unknown"
            number = str(failure.get("Id"))
            if number.isdecimal() and int(number) < len(fates):
                fates[int(number)] = Fate(code, code in final)
        return fates

    async def _ask(self, what: str, wait_s: float = 0.0, **parameters: Any) -> Any:
        try:
            async with asyncio.timeout(wait_s + _PATIENCE_S):
                return await getattr(self._client, what)(**parameters)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            why = f"SQS says {code}"
        except (BotoCoreError, HTTPClientError, OSError, ValueError) as error:
            # A ValueError: what was answered cannot be read.
            code = type(error).__name__
            why = "SQS does not answer" if "Timeout" in code else f"SQS cannot be reached ({code})"
        if code in _UNKNOWN:
            why = f"there is no such queue ({code})"
        elif code in _REFUSED:
            why = f"the keys are refused ({code})"
        raise PostError(why, is_final=code in _UNKNOWN | _REFUSED)

    def __repr__(self) -> str:
        return f"Post({self._place})"


class Batches(Generic[T]):
    """Does what is asked for ten at a time: together go those that come while others are being done."""

    def __init__(self, act: Callable[[list[T]], Awaitable[list[Fate]]]) -> None:
        self._act = act
        self._waiting: dict[asyncio.Future[Fate], T] = {}
        self._acting: asyncio.Task[None] | None = None

    async def do(self, one: T) -> Fate:
        """What became of it."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Fate] = loop.create_future()
        self._waiting[told] = one
        if self._acting is None:
            self._acting = loop.create_task(self._act_all())
        return await told

    async def _act_all(self) -> None:
        try:
            while self._waiting:
                batch = dict(islice(self._waiting.items(), AT_ONCE))
                for told in batch:
                    del self._waiting[told]
                try:
                    fates = await self._act(list(batch.values()))
                except PostError as error:
                    fates = [Fate(str(error))] * len(batch)
                for told, fate in zip(batch, fates, strict=True):
                    if not told.done():
                        told.set_result(fate)
        finally:
            self._acting = None

    async def idle(self) -> None:
        """Return when nothing is being done."""
        if self._acting is not None:
            await asyncio.wait([self._acting])
