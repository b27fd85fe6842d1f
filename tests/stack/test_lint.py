"""cfn-lint and SAM's own translator on every stack; both work without a network."""

import json
import os
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from edgeproxy.stack.surroundings import Surroundings
from edgeproxy.stack.text import as_yaml

from .rules import Tree
from .variants import ALL, SHAPES, VARIANTS, own, stack_of, template

pytestmark = pytest.mark.heavy

CACHE = Path(os.environ.get("EDGEPROXY_CACHE", "~/.cache/edgeproxy")).expanduser()  # noqa: TID251


@pytest.fixture(scope="module")
def tools() -> Path:
    folder = CACHE / "cfn-lint" / "bin"
    if not (folder / "cfn-lint").is_file():
        if os.environ.get("EDGEPROXY_REQUIRE_SERVERS"):  # noqa: TID251
            pytest.fail(f"cfn-lint: is not in {folder}, want scripts/servers to have put it there")
        pytest.skip("cfn-lint is not there: scripts/servers installs it")
    return folder


def expanded(tools: Path, trees: list[Tree]) -> list[Any]:
    """What SAM makes of templates: trees without anything of SAM's, or what is wrong, as text."""
    done = subprocess.run(
        [tools / "python", Path(__file__).with_name("expand.py")],
        input=json.dumps(trees),
        capture_output=True,
        text=True,
        check=True,
        env={"AWS_DEFAULT_REGION": "us-east-1"},
    )
    return list(json.loads(done.stdout))


def lint(tools: Path, folder: Path) -> list[str]:
    """What cfn-lint says of the templates in a folder."""
    files = sorted(map(str, folder.iterdir()))
    done = subprocess.run(
        [tools / "cfn-lint", "-r", "us-east-1", "-f", "parseable", "-t", *files],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.stderr == ""
    return [line.replace(f"{folder}/", "") for line in done.stdout.splitlines()]


def test_every_stack_as_it_is_and_expanded(tools: Path, tmp_path: Path) -> None:
    stacks = {f"{name} {part}": stack_of(VARIANTS[name], part) for name, part in SHAPES}
    stacks["own"] = template(own(), Surroundings())
    for name, tree in zip(stacks, expanded(tools, [stack.tree for stack in stacks.values()]), strict=True):
        assert isinstance(tree, dict), f"{name}: {tree}"
        (tmp_path / f"{name}.json").write_text(json.dumps(tree))
        (tmp_path / f"{name}.yaml").write_text(as_yaml(stacks[name]))
    assert lint(tools, tmp_path) == []


def test_the_linter_sees_what_is_wrong(tools: Path, tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    tree = deepcopy(stack_of(ALL).tree)
    resources = tree["Resources"]
    resources["BackfillQueue"]["Properties"]["VisibilityTimeout"] = 10
    resources["BucketAccess"]["Properties"]["OriginAccessControlConfig"]["SigningBehavior"] = "sometimes"
    # A circle: bucket, function, distribution, bucket.
    domain = {"Fn::GetAtt": ["BucketBucket", "RegionalDomainName"]}
    resources["Distribution"]["Properties"]["DistributionConfig"]["Origins"][0]["DomainName"] = domain
    (found,) = expanded(tools, [tree])
    (tmp_path / "t.json").write_text(json.dumps(found))
    told = {line.split(":")[5] for line in lint(tools, tmp_path)}
    assert told >= {"E3004", "E3031", "E3505"}


def test_sam_refuses_what_it_does_not_know(tools: Path) -> None:
    tree = deepcopy(stack_of(ALL).tree)
    tree["Resources"]["QueueConsumer"]["Properties"]["Handlers"] = "x"
    tree["Resources"]["QueueConsumer"]["Properties"].pop("CodeUri")
    (found,) = expanded(tools, [tree])
    assert isinstance(found, str)


def test_every_change_of_code_is_a_new_version(tools: Path) -> None:
    """SAM names a version after the place of its zip, which `aws cloudformation package` names after it."""
    (found,) = expanded(tools, [stack_of(ALL).tree])
    kinds = [resource["Type"] for resource in found["Resources"].values()]
    assert kinds.count("AWS::Lambda::Version") == 2
    called = found["Resources"]["Distribution"]["Properties"]["DistributionConfig"]["DefaultCacheBehavior"]
    version = called["LambdaFunctionAssociations"][0]["LambdaFunctionARN"]["Ref"]
    assert found["Resources"][version]["Type"] == "AWS::Lambda::Version"
    assert found["Resources"][version]["DeletionPolicy"] == "Retain"
