"""How long a response may be served, and how old it is.

RFC 9111 §4.2; CloudFront Developer Guide, "Managing how long content stays in the cache".
"""

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from edgeproxy.core.directives import CacheControl, delta_seconds, effective
from edgeproxy.core.message import Head

_TIME = r"(?P<time>\d\d:\d\d:)(?P<second>\d\d)"
_YEAR = r"(?P<year>(?!00)\d{4})"
_DATES = tuple(
    re.compile(form, re.ASCII | re.IGNORECASE)
    for form in (
        rf"[a-z]{{3}}, (?P<day>\d\d) (?P<month>[a-z]{{3}}) {_YEAR} {_TIME} GMT",  # IMF-fixdate
        rf"[a-z]{{6,9}}, (?P<day>\d\d)-(?P<month>[a-z]{{3}})-(?P<year>\d\d) {_TIME} GMT",  # rfc850-date
        rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ \d]\d) {_TIME} {_YEAR}",  # asctime-date
    )
)


HEURISTIC_STATUSES = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
"""Statuses whose lifetime may be guessed.  RFC 9110 §15.1."""


@dataclass(frozen=True, slots=True)
class TtlPolicy:
    """A cache policy's TTLs in seconds. All three 0 = caching is off."""

    min_s: float = 0
    default_s: float = 0
    max_s: float = 31_536_000
    is_targeted: bool = False
    """Whether `CDN-Cache-Control` stands for `Cache-Control` and `Expires`.  RFC 9213."""
    heuristic: float = 0.0
    """Where no lifetime is said and the default TTL is 0: the part of the time since `Last-Modified`."""

    @property
    def is_off(self) -> bool:
        """Whether nothing is ever cached (CloudFront's CachingDisabled)."""
        return self.min_s == self.default_s == self.max_s == 0

    @property
    def is_conforming(self) -> bool:
        """Whether the origin alone has the word: a shared cache as RFC 9111 has it."""
        return self.min_s == self.default_s == 0

    def control(self, head: Head) -> CacheControl:
        """The directives that count in `head`."""
        return effective(head, is_targeted=self.is_targeted)


def lifetime(head: Head, policy: TtlPolicy, now: float) -> float:
    """Seconds, counted from its generation, for which the response is fresh; 0 = not at all.

    CloudFront's TTL table: `s-maxage` before `max-age` before `Expires`, held between min and max
    TTL; the default TTL, or a guess, where the origin says none of them; and with a min TTL above 0
    also `no-cache`, `no-store` and `private` are kept that long.  RFC 9111 §4.2.1.
    """
    control = policy.control(head)
    if control.no_store or control.private or control.no_cache:
        return policy.min_s
    stated = stated_lifetime(head, policy, now)
    if stated is None:
        return max(policy.min_s, policy.default_s, guessed_lifetime(head, policy, now))
    return max(policy.min_s, min(stated, policy.max_s))


def stated_lifetime(head: Head, policy: TtlPolicy, now: float) -> float | None:
    """Seconds of `s-maxage`, else of `max-age`, else until `Expires`; None if there is none of them.

    RFC 9111 §4.2.1, RFC 9213 §2.2.
    """
    control = policy.control(head)
    stated = control.s_maxage if control.s_maxage is not None else control.max_age
    if stated is not None:
        return stated
    expires = head.headers.get("expires")
    return None if expires is None or control.is_targeted else _until(expires, head.headers.get("date"), now)


def guessed_lifetime(head: Head, policy: TtlPolicy, now: float) -> float:
    """Seconds that a response in which none are said is likely to hold; 0 where nothing is to be guessed.

    What has not changed for long will not change soon. Nobody asks for a guess beside a default TTL.
    RFC 9111 §4.2.2.
    """
    if not policy.heuristic or policy.default_s or head.status not in HEURISTIC_STATUSES:
        return 0
    modified = http_date(head.headers.get("last-modified") or "")
    if modified is None:
        return 0
    made = http_date(head.headers.get("date") or "")
    sent_at = now if made is None else min(made, now)
    return min(policy.heuristic * max(0.0, sent_at - modified), policy.max_s)


def _until(expires: str, date: str | None, now: float) -> float:
    """Expires less Date (or less `now`); an Expires that is no date, such as "0", is in the past (§5.3)."""
    end = http_date(expires)
    if end is None:
        return 0
    start = http_date(date) if date is not None else None
    return max(0.0, end - (now if start is None else start))


def http_date(text: str) -> float | None:
    """POSIX seconds of an HTTP-date in any of its three forms, None if it is none.  RFC 9110 §5.6.7.

    Case does not matter, and a zone other than GMT makes it no date (RFC 9111 §4.2). The weekday is
    not looked at. A year of two digits is taken as POSIX does, 69 as 1969 and 68 as 2068: the RFC's
    window of 50 years moves with the clock, and there is none here.
    """
    match = next((found for form in _DATES if (found := form.fullmatch(text.strip(" \t")))), None)
    if match is None:
        return None
    is_leap = match["second"] == "60"
    second = "59" if is_leap else match["second"]
    try:
        moment = parsedate_to_datetime(
            f"{match['day'].strip()} {match['month']} {match['year']} {match['time']}{second} GMT"
        )
    except ValueError:
        return None
    return moment.timestamp() + is_leap


def age_on_arrival(head: Head, requested_at: float, received_at: float) -> float:
    """Seconds the response had aged when it was received, never negative.

    The received `Age` and the time the fetch took both count; so does a `Date` in the past.
    RFC 9111 §4.2.3.
    """
    # Of several values the first counts, and one that is no number does not.  RFC 9111 §5.1.
    stated = delta_seconds((head.headers.get("age") or "").split(",")[0].strip())
    date = head.headers.get("date")
    made = http_date(date) if date is not None else None
    apparent = max(0.0, received_at - made) if made is not None else 0.0
    return max(apparent, stated + max(0.0, received_at - requested_at))
