"""`config.yaml` and the environment as validated, frozen values. Nothing else reads either."""

from edgeproxy.config.load import load, parse
from edgeproxy.config.mistakes import ConfigError
from edgeproxy.config.schema import Config

__all__ = ["Config", "ConfigError", "load", "parse"]
