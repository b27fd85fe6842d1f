"""Policies: what is cached and under which key, and what origins get of a request."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from edgeproxy.config.fields import Bool, Seconds, VisibleText
from edgeproxy.config.kinds import Decimal, HeaderName
from edgeproxy.config.section import EachOnce, EachOnceInAnyCase, Section, refused
from edgeproxy.config.units import duration_text
from edgeproxy.core.forwarding import OriginRequestPolicy
from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.key import KeyPolicy, Pick, Selection
from edgeproxy.core.storing import CachePolicy


class Whitelist(Section):
    """These names and no others."""

    whitelist: Annotated[tuple[Annotated[str, VisibleText], ...], Field(min_length=1), EachOnce]
    """Names that count."""


class AllExcept(Section):
    """All names but these."""

    all_except: Annotated[tuple[Annotated[str, VisibleText], ...], Field(min_length=1), EachOnce]
    """Names that do not count."""


def _shape_of_choice(value: object) -> str | None:
    match value:
        case "none" | "all":
            return "<word>"
        case Whitelist():
            return "<whitelist>"
        case AllExcept():
            return "<all_except>"
        case dict() if len(value) == 1:
            return next((f"<{name}>" for name in ("whitelist", "all_except") if name in value), None)
        case _:
            return None


Choice: TypeAlias = Annotated[
    Annotated[Literal["none", "all"], Tag("<word>")]
    | Annotated[Whitelist, Tag("<whitelist>")]
    | Annotated[AllExcept, Tag("<all_except>")],
    Discriminator(
        _shape_of_choice,
        custom_error_type="shape",
        custom_error_message="none, all, {whitelist: [...]} or {all_except: [...]}",
    ),
]


def _selection(choice: Choice, *, lower: bool = False) -> Selection:
    match choice:
        case Whitelist(whitelist=names):
            pick = Pick.ONLY
        case AllExcept(all_except=names):
            pick = Pick.EXCEPT
        case _:
            return Selection(Pick(choice))
    return Selection(pick, frozenset(name.lower() if lower else name for name in names))


class CachePolicySection(Section):
    """How long answers are cached, and under which key."""

    min_ttl: Seconds = 0.0
    """Least time an answer is kept, even where the origin forbids it."""
    default_ttl: Seconds = 86_400.0
    """Time for answers in which the origin says nothing; where not given, kept between the other two."""
    max_ttl: Seconds = 31_536_000.0
    """Longest time, whatever the origin says; where not given, at least the other two."""
    query: Choice = "none"
    """Query parameters that make a different object."""
    headers: Annotated[tuple[Annotated[str, HeaderName()], ...], EachOnceInAnyCase] = ()
    """Request fields that make a different object."""
    cookies: Choice = "none"
    """Cookies that make a different object."""
    gzip: Bool = False
    """Whether gzip answers are kept apart for viewers that accept them."""
    brotli: Bool = False
    """Whether brotli answers are kept apart for viewers that accept them."""
    targeted_cache_control: Bool = False
    """Whether `CDN-Cache-Control` (RFC 9213) stands for `Cache-Control` and `Expires`; CloudFront: no."""
    heuristic_freshness: Annotated[float, Decimal(0, 1, digits=9, such_as="0.1")] = 0.0
    """Part of the time since `Last-Modified` for which answers are kept in which the origin says nothing,
    such as 0.1 (RFC 9111 §4.2.2). Goes with a `default_ttl` of 0, which then need not be given."""
    honor_request_directives: Bool = False
    """Whether a viewer's own `Cache-Control` and `Pragma` count (RFC 9111 §5.2.1); CloudFront: no."""

    @model_validator(mode="after")
    def _are_in_order(self) -> Self:
        """CloudFront refuses TTLs in another order; one that is not given makes room for the others."""
        given = self.model_fields_set
        if self.heuristic_freshness:
            if self.min_ttl or ("default_ttl" in given and self.default_ttl):
                raise refused("heuristic_freshness", "0 where min_ttl or default_ttl is above 0s")
            object.__setattr__(self, "default_ttl", 0.0)
            given = given | {"default_ttl"}
        default_s = self.default_ttl if "default_ttl" in given else max(self.default_ttl, self.min_ttl)
        if "max_ttl" not in given:
            object.__setattr__(self, "max_ttl", max(self.max_ttl, self.min_ttl, default_s))
        if "default_ttl" not in given:
            object.__setattr__(self, "default_ttl", min(default_s, self.max_ttl))
        for lower, upper in (("min_ttl", "max_ttl"), ("min_ttl", "default_ttl"), ("default_ttl", "max_ttl")):
            if getattr(self, upper) < getattr(self, lower):
                raise refused(upper, f"at least {lower}, which is {duration_text(getattr(self, lower))}")
        return self

    def value(self, name: str) -> CachePolicy:
        """The policy as the rules take it."""
        names = frozenset(header.lower() for header in self.headers)
        key = KeyPolicy(
            query=_selection(self.query),
            headers=Selection(Pick.ONLY, names) if names else Selection(),
            cookies=_selection(self.cookies),
            gzip=self.gzip,
            brotli=self.brotli,
        )
        ttl = TtlPolicy(
            self.min_ttl,
            self.default_ttl,
            self.max_ttl,
            self.targeted_cache_control,
            self.heuristic_freshness,
        )
        return CachePolicy(ttl, key, name, heeds_viewers=self.honor_request_directives)


class OriginRequestPolicySection(Section):
    """What origins get of a request beyond the cache key."""

    headers: Choice = "none"
    """Request fields."""
    cookies: Choice = "none"
    """Cookies."""
    query: Choice = "none"
    """Query parameters."""

    def value(self, name: str) -> OriginRequestPolicy:
        """The policy as the rules take it."""
        return OriginRequestPolicy(
            _selection(self.headers, lower=True), _selection(self.cookies), _selection(self.query), name
        )
