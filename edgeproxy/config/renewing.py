"""What of a configuration can change while requests are served: the pools that there are."""

from edgeproxy.config.pool import PoolOrigin
from edgeproxy.config.schema import Config


def renewed(old: Config, new: Config) -> Config:
    """`old` with the pools of `new`, as far as both have them; all else stays as it is."""
    return old.model_copy(
        update={"origins": {**old.origins, **{name: new.origins[name] for name in pools_in_both(old, new)}}}
    )


def pools_in_both(old: Config, new: Config) -> list[str]:
    """The names of the pools that can change."""
    return [name for name in pools_of(new) if isinstance(old.origins.get(name), PoolOrigin)]


def pools_of(config: Config) -> dict[str, PoolOrigin]:
    """The pools among the origins."""
    return {name: section for name, section in config.origins.items() if isinstance(section, PoolOrigin)}


def needs_restart(old: Config, new: Config) -> bool:
    """Whether there is something in `new` that `renewed` leaves out."""
    return renewed(old, new).model_dump() != new.model_dump()
