"""Whose fault, which status the viewer gets, and as which status it counts for failover.

Expected outcomes are values; these are for faults. The tree is shallow on purpose: a class
exists where somebody catches it apart.
"""

from edgeproxy.core.failover import Attempt
from edgeproxy.core.reason import Reason


class EdgeError(Exception):
    """A fault with a name. `message` is one plain sentence and never holds a secret."""

    def __init__(self, reason: Reason, message: str, *, status: int) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.status = status


class RequestError(EdgeError):
    """The viewer's fault: refused before any origin is asked."""


class MethodError(RequestError):
    """A method that is not let in; `allow` lists those that are.  RFC 9110 §15.5.6."""

    def __init__(self, message: str, *, status: int, allow: str) -> None:
        super().__init__(Reason.METHOD_NOT_ALLOWED, message, status=status)
        self.allow = allow


class OriginError(EdgeError):
    """The origin's fault: it gave no usable answer.

    `failover_as` is the status code that has to be listed in `failover_on` for this fault to
    fail over: 503 for a failed connection, 504 for a timeout (CloudFront Developer Guide,
    "high availability origin failover"), 502 for the rest (our choice: docs/fidelity.md).
    `trail` has every origin that was asked, in order.
    """

    def __init__(
        self, reason: Reason, message: str, *, status: int = 502, failover_as: int | None = None
    ) -> None:
        super().__init__(reason, message, status=status)
        self.failover_as = status if failover_as is None else failover_as
        self.trail: tuple[Attempt, ...] = ()

    @property
    def was_asked_nothing(self) -> bool:
        """Whether there was no connection: the request cannot have been the cause."""
        return self.failover_as == 503


class UnavailableError(OriginError):
    """None of several equal nodes may be asked. It is worth asking again in `retry_after_s` seconds."""

    def __init__(self, reason: Reason, message: str, *, retry_after_s: float) -> None:
        super().__init__(reason, message, status=503)
        self.retry_after_s = retry_after_s


class RememberedError(OriginError):
    """The origin's fault of a moment ago: it is not asked again for `rest_s` seconds."""

    def __init__(self, reason: Reason, message: str, *, status: int, rest_s: float) -> None:
        super().__init__(reason, message, status=status)
        self.rest_s = rest_s


class WriteError(EdgeError):
    """The bucket did not take an object. `is_final` says that trying again cannot help."""

    def __init__(self, reason: Reason, message: str, *, is_final: bool = False) -> None:
        super().__init__(reason, message, status=502)
        self.is_final = is_final


def unreachable(origin: str, cause: str) -> OriginError:
    """No connection could be made to `origin`."""
    return OriginError(Reason.ORIGIN_UNREACHABLE, f"{origin}: {cause}", status=502, failover_as=503)


def timed_out(origin: str, phase: str, seconds: float, *, connecting: bool = False) -> OriginError:
    """`origin` was silent for `seconds`; while `connecting` this counts as a failed connection."""
    return OriginError(
        Reason.ORIGIN_TIMEOUT,
        f"{origin}: {phase} timed out after {seconds:g} s",
        status=504,
        failover_as=503 if connecting else 504,
    )
