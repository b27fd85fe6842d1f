"""Which nodes may be asked, and why the others may not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.balancing.breaker import Breaker
from edgeproxy.core.balancing.fitness import Fit, NobodyFit, candidates, unfit
from edgeproxy.core.balancing.health import Health, Verdict
from edgeproxy.core.balancing.nodes import Duty, Node, NodeState, Tier
from edgeproxy.core.reason import Reason
from tests.core.conftest import rows, steady

NOW = 50.0
WELL = NodeState(Node("a"))
ILL: dict[Reason, NodeState] = {
    Reason.NODE_CORDONED: replace(WELL, duty=Duty.CORDONED),
    Reason.NODE_DRAINED: replace(WELL, duty=Duty.DRAINED),
    Reason.NODE_DOWN: replace(WELL, health=Health(Verdict.DOWN)),
    Reason.NODE_LAGGING: replace(WELL, head=90),
    Reason.NODE_EJECTED: replace(WELL, breaker=Breaker(until=NOW + 1)),
    Reason.NODE_PROBED: replace(WELL, breaker=Breaker(until=NOW - 1, is_probed=True)),
}


@pytest.mark.parametrize(
    ("state", "expected"),
    rows(
        ("nothing is known of it", WELL, None, "trusted"),
        ("it passes its checks", replace(WELL, health=Health(Verdict.UP)), None, "HAProxy"),
        ("it lags a little", replace(WELL, head=97), None, "at most k behind"),
        ("its ejection is over", replace(WELL, breaker=Breaker(until=NOW)), None, "half-open"),
        *((f"it is {reason}", state, reason, "our choice") for reason, state in ILL.items()),
    ),
)
def test_unfit(state: NodeState, expected: Reason | None) -> None:
    assert unfit(state, best=100, now=NOW, max_lag=3) is expected


def named(name: str, like: NodeState = WELL, tier: Tier = Tier.PRIMARY) -> NodeState:
    return replace(like, node=Node(name, tier=tier))


def test_backups_are_for_when_no_primary_is_fit() -> None:
    down = ILL[Reason.NODE_DOWN]
    p, q, b = named("p"), named("q"), named("b", tier=Tier.BACKUP)
    assert candidates([b, p, q], NOW, None) == Fit(Tier.PRIMARY, (p, q))
    assert candidates([b, named("p", down), q], NOW, None) == Fit(Tier.PRIMARY, (q,))
    assert candidates([b, named("p", down), named("q", down)], NOW, None) == Fit(Tier.BACKUP, (b,))


def test_a_request_that_all_primaries_failed_goes_to_the_backups() -> None:
    p, q, b = named("p"), named("q"), named("b", tier=Tier.BACKUP)
    assert candidates([p, q, b], NOW, None, frozenset("p")) == Fit(Tier.PRIMARY, (q,))
    assert candidates([p, q, b], NOW, None, frozenset("pq")) == Fit(Tier.BACKUP, (b,))
    assert candidates([p, b], NOW, None, frozenset("pb")) == NobodyFit(
        (("p", Reason.NODE_TRIED), ("b", Reason.NODE_TRIED))
    )


def test_where_nobody_is_fit_it_says_why_of_each() -> None:
    states = [named(f"n{number}", state) for number, state in enumerate(ILL.values())]
    nobody = candidates([*states, named("ahead", replace(WELL, duty=Duty.DRAINED, head=100))], NOW, 3)
    assert isinstance(nobody, NobodyFit)
    assert [reason for _, reason in nobody.why] == [*ILL, Reason.NODE_DRAINED]
    assert str(nobody).startswith("n0=node-cordoned n1=node-drained n2=node-down n3=node-lagging")
    assert nobody.reason is Reason.NO_NODE
    assert candidates([], NOW, None) == NobodyFit(())


state_of = st.sampled_from([WELL, *ILL.values()])


@steady
@given(
    st.lists(st.tuples(state_of, st.sampled_from(Tier)), max_size=8),
    st.sets(st.integers(0, 7).map(lambda number: f"n{number}")),
)
def test_nobody_unfit_is_asked_and_nobody_fit_is_forgotten(
    makes: list[tuple[NodeState, Tier]], tried: set[str]
) -> None:
    states = [named(f"n{number}", state, tier) for number, (state, tier) in enumerate(makes)]
    fit = [s for s in states if unfit(s, 90, NOW, 3) is None and s.node.name not in tried]
    match candidates(states, NOW, 3, frozenset(tried)):
        case Fit(tier, of_tier):
            assert list(of_tier) == [s for s in fit if s.node.tier is tier]
            assert tier is Tier.PRIMARY or all(s.node.tier is Tier.BACKUP for s in fit)
        case NobodyFit(why):
            assert fit == []
            assert [name for name, _ in why] == [s.node.name for s in states]
