"""`config.yaml` and the environment as validated, frozen values. Nothing else reads either."""

from edgeproxy.config.load import ConfigError, load, parse
from edgeproxy.config.schema import Config

__all__ = ["Config", "ConfigError", "load", "parse"]
