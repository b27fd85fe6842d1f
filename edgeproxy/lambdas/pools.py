"""The configuration of those functions that balance or check nodes, and their board.

It stands in the zip (`edgeproxy package --config`), in the setting `config`, or in the file that
`config_file` names.
"""

from pathlib import Path

from pydantic import ValidationError

from edgeproxy.config.health import Health
from edgeproxy.config.load import parse
from edgeproxy.config.mistakes import ConfigError
from edgeproxy.config.pool import PoolOrigin
from edgeproxy.config.renewing import pools_of
from edgeproxy.config.schema import Config
from edgeproxy.lambdas import settings

LEAST_INTERVAL_S = 60.0
"""EventBridge calls no function more often."""
_SHARED = ("dynamodb", "redis")


def configured() -> Config:
    """The configuration, with checks as often as a function can make them.  Raises `SettingError`."""
    config = _parsed()
    pools = pools_of(config)
    if not pools:
        raise settings.SettingError("config: got no pool, want an origin of type pool")
    origins = {**config.origins, **{name: _in_minutes(section) for name, section in pools.items()}}
    return config.model_copy(update={"origins": origins, "health": _health(config.health)})


def has_shared_board(config: Config) -> bool:
    """Whether what one call finds is there for another."""
    return config.health.board in _SHARED


def want_shared_board(config: Config) -> None:
    """Raise `SettingError` where it is not."""
    if not has_shared_board(config):
        raise settings.SettingError(
            f"health.board: got {config.health.board}, want dynamodb or redis, which other calls of functions"
            " can see, or health_table to be set"
        )


def _parsed() -> Config:
    name = settings.text("config_file", default="")
    if name:
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, ValueError) as error:
            cause = (error.strerror if isinstance(error, OSError) else None) or "is not UTF-8"
            raise settings.SettingError(f"config_file: got {name!r}: {cause.lower()}") from None
    else:
        wanted = "what `edgeproxy package --config` puts there, or config_file"
        text = settings.text("config", wanted=wanted)
    try:
        return parse(text, settings.given(), source="config")
    except ConfigError as error:
        raise settings.SettingError("; ".join(str(error).splitlines())) from None


def _in_minutes(section: PoolOrigin) -> PoolOrigin:
    checks = section.checks
    if checks is None or checks.interval >= LEAST_INTERVAL_S:
        return section
    return section.model_copy(update={"checks": checks.model_copy(update={"interval": LEAST_INTERVAL_S})})


def _health(section: Health) -> Health:
    """The table that the function is told of goes before the board of the configuration."""
    table = settings.text("health_table", default="")
    if not table:
        return section
    region = settings.text("health_region", "AWS_REGION", default="us-east-1")
    told = {"board": "dynamodb", "table": table, "region": region}
    endpoint = settings.url("endpoint_url_dynamodb", default="")
    try:
        return Health.model_validate(told | ({"endpoint": endpoint} if endpoint else {}))
    except ValidationError:
        raise settings.SettingError(
            f"health_table: got {table!r} in {region!r}, want the name of a DynamoDB table and a region"
        ) from None
