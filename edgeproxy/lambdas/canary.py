"""Once a minute: asks every node of every pool whether it is well, and puts what it finds on the board.

Whatever the event is, it is not looked at. A node that has not answered when the time is nearly up is told
as `late`, and the board keeps what it had of it.
"""

from typing import Any

from edgeproxy.assembly.health import check_once
from edgeproxy.config.renewing import pools_of
from edgeproxy.health.board import BoardError
from edgeproxy.lambdas import settings
from edgeproxy.lambdas.pools import configured, want_shared_board
from edgeproxy.lambdas.process import Context, handler_of, log, remaining_s

_MARGIN_S = 2.0
"""For what was found last to reach the board."""
_LEAST_S = 0.5


async def main(event: Any, context: Context) -> dict[str, str]:
    """`{"api/a.example.com": "up", "api/b.example.com": "down"}`; `late` is a node that was not waited for.

    Raises `BoardError` where the board did not take all of it, so that somebody hears of it.
    """
    config = configured()
    want_shared_board(config)
    if not any(pool.checks is not None for pool in pools_of(config).values()):
        raise settings.SettingError("config: got no pool with checks, want checks in one")
    faults: list[str] = []

    def tell(line: str) -> None:
        log(line)
        faults.append(line)

    within_s = max(_LEAST_S, remaining_s(context) - _MARGIN_S)
    checked = await check_once(config, tell, within_s=within_s)
    states = {key: str(found.health.verdict) for key, found in checked.found.items()}
    states |= dict.fromkeys(checked.late, "late")
    for key, found in checked.found.items():
        if found.took_s is None:
            log(f"{key}: failed: {found.why}")
    for key in checked.late:
        log(f"{key}: late: no answer in {within_s:g} s, which is what this call had")
    if not checked.is_shared:
        raise BoardError(next(line for line in faults if line.startswith("health: ")))
    return dict(sorted(states.items()))


handler = handler_of(main)
