"""When a stored response may be served although it is stale.

RFC 9111 §4.2.4, RFC 5861; CloudFront Developer Guide, "Managing how long content stays in the cache".
"""

from edgeproxy.core.directives import CacheControl
from edgeproxy.core.storing import CachePolicy, Stored


def while_revalidating(stored: Stored, policy: CachePolicy, now: float) -> bool:
    """Whether it may be served at once while it is validated behind the viewer's back.

    The window of `stale-while-revalidate`, at most the max TTL.  RFC 5861 §3.
    """
    control = policy.ttl.control(stored.head)
    window = control.stale_while_revalidate
    if window is None or _is_strict(control):
        return False
    return -stored.fresh_for(now) < min(window, policy.ttl.max_s)


def as_wanted(stored: Stored, policy: CachePolicy, now: float, wanted_s: int) -> bool:
    """Whether it may be served to a viewer that takes what is stale by `wanted_s`, at most the max TTL.

    What forbids it is also `s-maxage`, which stands for `proxy-revalidate`.  RFC 9111 §4.2.4, §5.2.1.2.
    """
    control = policy.ttl.control(stored.head)
    if _is_strict(control) or control.s_maxage is not None:
        return False
    return -stored.fresh_for(now) <= min(wanted_s, policy.ttl.max_s)


def on_failure(stored: Stored, policy: CachePolicy, now: float, wanted_s: int | None = None) -> bool:
    """Whether it may be served because the origin failed: no answer, or a 5xx.

    Within the window of `stale-if-error`; without that directive for as long as the max TTL from
    when it was received, unless the policy leaves all to the origin (then RFC 9111 has the word).
    `must-revalidate` and `proxy-revalidate` forbid it. `wanted_s` is the viewer's own `stale-if-error`.
    RFC 5861 §4, RFC 9111 §5.2.2.2.
    """
    control = policy.ttl.control(stored.head)
    if _is_strict(control) or now - stored.received_at > policy.ttl.max_s:
        return False
    if wanted_s is not None and as_wanted(stored, policy, now, wanted_s):
        return True
    window = control.stale_if_error
    if window is not None:
        return -stored.fresh_for(now) < min(window, policy.ttl.max_s)
    return not policy.ttl.is_conforming


def _is_strict(control: CacheControl) -> bool:
    return control.must_revalidate or control.proxy_revalidate or control.no_cache
