"""`python -m edgeproxy` is `edgeproxy`."""

from edgeproxy.cli.main import main

main(prog_name="edgeproxy")
