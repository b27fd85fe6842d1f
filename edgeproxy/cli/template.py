"""`edgeproxy template`: the configuration as a CloudFormation stack."""

from pathlib import Path

import click

from edgeproxy.cli.common import CONFIG, fail, loaded
from edgeproxy.packaging.platform import PYTHONS
from edgeproxy.stack.surroundings import Part


@click.command(short_help="Print the configuration as a CloudFormation stack (SAM).")
@CONFIG
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file.  [standard output]")
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option(
    "--part",
    type=click.Choice([part.value for part in Part]),
    default=Part.WHOLE.value,
    show_default=True,
    help="All in us-east-1; or what has to be there (edge), and what may be elsewhere (store).",
)
@click.option(
    "--zips", default="dist", show_default=True, help="The folder of the zips, as seen from the template."
)
@click.option(
    "--python", type=click.Choice(PYTHONS), default="3.13", show_default=True, help="Lambda's runtime."
)
@click.option(
    "--rest-api", is_flag=True, help="With a REST API before pools, with the published mapping template."
)
def template(
    path: Path, output: Path | None, form: str, part: str, zips: str, python: str, rest_api: bool
) -> None:
    """Print the configuration as a CloudFormation stack (SAM), with CloudFront, bucket, queue and functions.

    What AWS has not of it, or has otherwise, is told on standard error, one line each, and in the comments
    of the YAML. What AWS would refuse ends the command. Nothing is sent anywhere.
    """
    from edgeproxy.config.portion import for_balancing, variables
    from edgeproxy.config.renewing import pools_of
    from edgeproxy.stack.errors import StackError
    from edgeproxy.stack.surroundings import Surroundings
    from edgeproxy.stack.template import template as made
    from edgeproxy.stack.text import as_json, as_yaml

    config = loaded(path)
    names = variables(for_balancing(path.read_text("utf-8"))) if pools_of(config) else {}
    around = Surroundings(Part(part), zips.rstrip("/"), python, str(path), names, rest_api)
    try:
        stack = made(config, around)
    except StackError as error:
        fail("\n".join(f"{path}: {mistake}" for mistake in error.mistakes))
    for note in stack.notes:
        click.echo(f"{path}: {note}", err=True)
    if form == "json":
        # There are no comments for them.
        for command in stack.commands:
            click.echo(f"its zips: {command}", err=True)
    text = as_yaml(stack) if form == "yaml" else as_json(stack)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{output}: {error.strerror}", status=1)
