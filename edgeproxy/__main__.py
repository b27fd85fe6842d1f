"""`python -m edgeproxy` is `edgeproxy`."""

from edgeproxy.cli import main

main(prog_name="edgeproxy")
