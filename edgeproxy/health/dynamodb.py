"""The board in a DynamoDB table, which many machines and Lambda handlers share. No exception of botocore's
leaves this file.

The key of the table is `server`, a string. DynamoDB Developer Guide, "Condition expressions", "Time to Live".
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from decimal import Decimal
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from edgeproxy.aws import client as aws_client
from edgeproxy.core.balancing.findings import MAX_SKEW_S, UNREADABLE, Finding, finding_from
from edgeproxy.health.board import KEEP_S, BoardError
from edgeproxy.origins.localhost import Resolver

_FAULTS = (BotoCoreError, ClientError, HTTPClientError, OSError, TimeoutError)
_AT_ONCE = 100
"""Keys that one BatchGetItem takes."""
_ROUNDS = 3
_NEWER = "attribute_not_exists(#at) OR #at < :at OR #at > :ahead"


class DynamoBoard:
    """See `Board`. One item for each node; `expires` is for the table's Time to Live."""

    def __init__(
        self,
        table: str,
        *,
        region: str,
        endpoint: str | None = None,
        keys: tuple[str, str, str | None] | None = None,
        timeout_s: float = 1.0,
    ) -> None:
        """`keys`: access key id, secret access key, session token; None: those of the provider chain."""
        self._table = table
        config: dict[str, Any] = {
            "connect_timeout": timeout_s,
            "read_timeout": timeout_s,
            "retries": {"mode": "standard", "total_max_attempts": 2},
            "connector_args": {"resolver": Resolver()},
        }
        self._connecting = partial(aws_client, "dynamodb", region, endpoint, keys, config)
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def open(self) -> None:
        """See `Board`. Nothing is sent yet."""
        try:
            self._client = await self._stack.enter_async_context(self._connecting())
        except _FAULTS as error:
            raise BoardError(_said(error)) from error

    async def close(self) -> None:
        """See `Board`."""
        await self._stack.aclose()

    async def read(self, nodes: Sequence[str]) -> Mapping[str, Finding]:
        """See `Board`. Findings may be some milliseconds behind: reads are eventually consistent."""
        found: dict[str, Finding] = {}
        for start in range(0, len(nodes), _AT_ONCE):
            for item in await self._items(nodes[start : start + _AT_ONCE]):
                try:
                    finding = _finding(item)
                except UNREADABLE:
                    continue
                found[finding.node] = finding
        return found

    async def _items(self, nodes: Sequence[str]) -> list[dict[str, Any]]:
        wanted: dict[str, Any] = {self._table: {"Keys": [{"server": {"S": node}} for node in nodes]}}
        items: list[dict[str, Any]] = []
        for _ in range(_ROUNDS):
            try:
                answer = await self._client.batch_get_item(RequestItems=wanted)
            except _FAULTS as error:
                raise BoardError(_said(error)) from error
            items += answer.get("Responses", {}).get(self._table, [])
            wanted = answer.get("UnprocessedKeys") or {}
            if not wanted:
                return items
            await asyncio.sleep(0.05)
        # The table cannot keep up. What is missing its readers find out for themselves.
        return items

    async def put(self, finding: Finding, now: float) -> bool:
        """See `Board`."""
        try:
            await self._client.put_item(
                TableName=self._table,
                Item=_item(finding),
                ConditionExpression=_NEWER,
                ExpressionAttributeNames={"#at": "at"},
                ExpressionAttributeValues={":at": _number(finding.at), ":ahead": _number(now + MAX_SKEW_S)},
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "ConditionalCheckFailedException":
                return False
            raise BoardError(_said(error)) from error
        except _FAULTS as error:
            raise BoardError(_said(error)) from error
        return True


def _item(finding: Finding) -> dict[str, Any]:
    values = asdict(finding)
    values["server"] = values.pop("node")
    values |= values.pop("health")
    values["expires"] = int(finding.at + KEEP_S)
    return {
        name: {"S": value} if isinstance(value, str) else _number(value)
        for name, value in values.items()
        if value is not None
    }


def _finding(item: Mapping[str, Any]) -> Finding:
    values = {name: typed["S"] if "S" in typed else Decimal(typed["N"]) for name, typed in item.items()}
    return finding_from(
        {
            "node": values["server"],
            "took_s": values.get("took_s"),
            "head": values.get("head"),
            "health": {name: values[name] for name in ("verdict", "against", "since")},
            "at": values["at"],
            "why": values["why"],
            "by": values["by"],
        }
    )


def _number(value: float) -> dict[str, str]:
    return {"N": repr(value)}


def _said(error: Exception) -> str:
    if isinstance(error, ClientError):
        told = error.response.get("Error", {})
        return f"DynamoDB: {told.get('Code')}: {told.get('Message')}"
    return f"DynamoDB: {type(error).__name__}"
