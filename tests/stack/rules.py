"""What AWS refuses, or what does not work there, and cfn-lint does not see, as rules for templates.

Each takes the tree of a template, in long form, and yields a line for every fault.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

Tree = dict[str, Any]
Rule = Callable[[Tree], Iterator[str]]

METHODS = (
    {"GET", "HEAD"},
    {"GET", "HEAD", "OPTIONS"},
    {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"},
)
CODES = {400, 403, 404, 416, 429, 500, 502, 503, 504}
EVENTS = {"viewer-request", "origin-request", "origin-response", "viewer-response"}
HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")


def of_type(tree: Tree, kind: str) -> dict[str, Tree]:
    return {n: r.get("Properties", {}) for n, r in tree["Resources"].items() if r["Type"] == kind}


def distributions(tree: Tree) -> list[Tree]:
    return [p["DistributionConfig"] for p in of_type(tree, "AWS::CloudFront::Distribution").values()]


def behaviors(config: Tree) -> list[Tree]:
    return [*config.get("CacheBehaviors", []), config["DefaultCacheBehavior"]]


def groups(config: Tree) -> list[Tree]:
    return list(config.get("OriginGroups", {}).get("Items", []))


def edge_functions(tree: Tree) -> set[str]:
    """Those that a distribution calls, however it spells their version."""
    called = (a for c in distributions(tree) for b in behaviors(c) for a in associations(b))
    spelt = (
        a["LambdaFunctionARN"].get("Ref", "") for a in called if isinstance(a["LambdaFunctionARN"], dict)
    )
    return {name.partition(".")[0] for name in spelt}


def associations(behavior: Tree) -> list[Tree]:
    return list(behavior.get("LambdaFunctionAssociations", []))


def targets_exist(tree: Tree) -> Iterator[str]:
    for config in distributions(tree):
        origins = {origin["Id"] for origin in config["Origins"]}
        known = origins | {group["Id"] for group in groups(config)}
        for behavior in behaviors(config):
            if behavior["TargetOriginId"] not in known:
                yield f"TargetOriginId {behavior['TargetOriginId']} is unknown"
        for group in groups(config):
            for member in group["Members"]["Items"]:
                if member["OriginId"] not in origins:
                    yield f"member {member['OriginId']} is unknown"


def ids_are_unique(tree: Tree) -> Iterator[str]:
    for config in distributions(tree):
        ids = [one["Id"] for one in [*config["Origins"], *groups(config)]]
        patterns = [behavior.get("PathPattern") for behavior in behaviors(config)]
        for what, values in (("id", ids), ("pattern", patterns)):
            if len(set(values)) < len(values):
                yield f"an {what} stands twice"


def failover_codes_are_known(tree: Tree) -> Iterator[str]:
    for config in distributions(tree):
        for group in groups(config):
            if not set(group["FailoverCriteria"]["StatusCodes"]["Items"]) <= CODES:
                yield f"{group['Id']}: a code that does not fail over"


def quantities_are_right(tree: Tree) -> Iterator[str]:
    def walked(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if "Quantity" in value and value["Quantity"] != len(value["Items"]):
                yield f"Quantity {value['Quantity']} of {len(value['Items'])}"
            for inner in value.values():
                yield from walked(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walked(inner)

    yield from walked(tree["Resources"])
    for config in distributions(tree):
        for group in groups(config):
            if len(group["Members"]["Items"]) != 2:
                yield f"{group['Id']}: not two members"


def methods_are_a_set_of_cloudfronts(tree: Tree) -> Iterator[str]:
    for config in distributions(tree):
        grouped = {group["Id"] for group in groups(config)}
        for behavior in behaviors(config):
            allowed = set(behavior["AllowedMethods"])
            if allowed not in METHODS:
                yield "AllowedMethods is none of the three sets"
            if set(behavior["CachedMethods"]) not in METHODS[:2]:
                yield "CachedMethods is none of the two sets"
            if "POST" in allowed and behavior["TargetOriginId"] in grouped:
                yield "POST to an origin group"


def origins_are_host_names(tree: Tree) -> Iterator[str]:
    parameters = tree.get("Parameters", {})
    for config in distributions(tree):
        for origin in config["Origins"]:
            name = origin["DomainName"]
            if isinstance(name, dict) and "Ref" in name:
                name = parameters.get(name["Ref"], {}).get("Default", "example.org")
            if isinstance(name, str) and not HOST.fullmatch(name):
                yield f"{origin['Id']}: {name} is no host name"


def access_control_has_its_config(tree: Tree) -> Iterator[str]:
    kinds = {
        name: p["OriginAccessControlConfig"]["OriginAccessControlOriginType"]
        for name, p in of_type(tree, "AWS::CloudFront::OriginAccessControl").items()
    }
    for config in distributions(tree):
        for origin in config["Origins"]:
            kind = kinds.get(origin.get("OriginAccessControlId", {}).get("Fn::GetAtt", [""])[0])
            if kind == "s3" and origin.get("S3OriginConfig", {}).get("OriginAccessIdentity") != "":
                yield f"{origin['Id']}: access control without S3OriginConfig"
            if kind is None and "S3OriginConfig" in origin:
                yield f"{origin['Id']}: a bucket without access control"
            if kind == "lambda" and "CustomOriginConfig" not in origin:
                yield f"{origin['Id']}: access control without CustomOriginConfig"


def associations_are_sound(tree: Tree) -> Iterator[str]:
    made = {**of_type(tree, "AWS::Serverless::Function"), **of_type(tree, "AWS::Lambda::Version")}
    for config in distributions(tree):
        grouped = {group["Id"] for group in groups(config)}
        for behavior in behaviors(config):
            events = [a["EventType"] for a in associations(behavior)]
            if len(set(events)) < len(events):
                yield "two functions on one event"
            if not set(events) <= EVENTS:
                yield f"{events} is no event"
            if "origin-response" in events and behavior["TargetOriginId"] in grouped:
                yield "a generator on an origin group"
            for association in associations(behavior):
                arn = association["LambdaFunctionARN"]
                name, _, attribute = str(arn.get("Ref", "") if isinstance(arn, dict) else "").partition(".")
                if name not in made or (attribute != "Version" and name in of_type(tree, FUNCTION)):
                    yield f"{arn} is no version"


FUNCTION = "AWS::Serverless::Function"


def edge_functions_are_fit(tree: Tree) -> Iterator[str]:
    for name in sorted(edge_functions(tree)):
        properties = of_type(tree, FUNCTION).get(name, {})
        for unfit in ("Environment", "Layers", "VpcConfig", "DeadLetterQueue", "Tracing", "LoggingConfig"):
            if unfit in properties:
                yield f"{name}: {unfit} at the edge"
        if properties.get("Architectures") != ["x86_64"]:
            yield f"{name}: not x86_64"
        if properties.get("Timeout", 0) > 30:
            yield f"{name}: Timeout above 30 s"
        if "AutoPublishAlias" not in properties:
            yield f"{name}: no versions"
        if tree["Resources"].get(name, {}).get("DeletionPolicy") != "Retain":
            yield f"{name}: its copies would keep the stack from being deleted"
        role = properties.get("Role", {}).get("Fn::GetAtt", [""])[0]
        document = of_type(tree, "AWS::IAM::Role").get(role, {}).get("AssumeRolePolicyDocument", {})
        trusted = str(document.get("Statement"))
        if "edgelambda.amazonaws.com" not in trusted or "'lambda.amazonaws.com" not in trusted:
            yield f"{name}: its role trusts not both services"


def queues_wait_long_enough(tree: Tree) -> Iterator[str]:
    queues, functions = of_type(tree, "AWS::SQS::Queue"), of_type(tree, FUNCTION)
    for mapping in of_type(tree, "AWS::Lambda::EventSourceMapping").values():
        queue = queues[mapping["EventSourceArn"]["Fn::GetAtt"][0]]
        window = mapping.get("MaximumBatchingWindowInSeconds", 0)
        if (
            queue.get("VisibilityTimeout", 30)
            < 6 * functions[mapping["FunctionName"]["Ref"]]["Timeout"] + window
        ):
            yield "VisibilityTimeout below six times the function's"
        if mapping.get("BatchSize", 10) > 10 and not window:
            yield "BatchSize above 10 without a window"
        if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield "one bad message takes the batch with it"
        if "RedrivePolicy" not in queue:
            yield "no dead letters"


def notifications_may_call(tree: Tree) -> Iterator[str]:
    allowed = {
        (name, permission["FunctionName"]["Ref"])
        for name, permission in of_type(tree, "AWS::Lambda::Permission").items()
        if permission["Principal"] == "s3.amazonaws.com" and "SourceAccount" in permission
    }
    for name, bucket in of_type(tree, "AWS::S3::Bucket").items():
        waits = tree["Resources"][name].get("DependsOn")
        for told in bucket.get("NotificationConfiguration", {}).get("LambdaConfigurations", []):
            if not re.fullmatch(r"s3:Object(Created|Removed):(\*|[A-Z][A-Za-z]+)", told["Event"]):
                yield f"{told['Event']} is no event of S3"
            if (waits, told["Function"]["Fn::GetAtt"][0]) not in allowed:
                yield f"{name}: S3 may not call the function when the bucket is made"


def urls_may_be_called(tree: Tree) -> Iterator[str]:
    permissions = list(of_type(tree, "AWS::Lambda::Permission").values())
    for url in of_type(tree, "AWS::Lambda::Url").values():
        name = url["TargetFunctionArn"]["Fn::GetAtt"][0]
        mine = [p for p in permissions if p["FunctionName"] == {"Ref": name}]
        if not any(
            p["Action"] == "lambda:InvokeFunctionUrl" and p.get("FunctionUrlAuthType") == "AWS_IAM"
            for p in mine
        ):
            yield f"{name}: CloudFront may not call the URL"
        if not any(p["Action"] == "lambda:InvokeFunction" and p.get("InvokedViaFunctionUrl") for p in mine):
            yield f"{name}: CloudFront may not call the function by its URL"


def redirects_are_not_kept(tree: Tree) -> Iterator[str]:
    """With a minimum TTL CloudFront keeps even `no-store`."""
    least = {
        name: p["CachePolicyConfig"]["MinTTL"]
        for name, p in of_type(tree, "AWS::CloudFront::CachePolicy").items()
    }
    keeping = {"658327ea-f89d-4fab-a63d-7e88639e58f6", "b2884449-e4de-46a7-ac36-70bc7f1ddd6d"}
    for config in distributions(tree):
        urls = {o["Id"] for o in config["Origins"] if "Fn::Select" in str(o["DomainName"])}
        mirrored = {g["Id"] for g in groups(config) if urls & {m["OriginId"] for m in g["Members"]["Items"]}}
        for behavior in behaviors(config):
            policy = behavior["CachePolicyId"]
            keeps = least.get(policy["Ref"], 0) > 0 if isinstance(policy, dict) else policy in keeping
            if behavior["TargetOriginId"] in mirrored and keeps:
                yield "a redirect would be kept"


def is_api(origin: Tree) -> bool:
    return "execute-api" in str(origin["DomainName"])


def hosts_are_not_passed_on(tree: Tree) -> Iterator[str]:
    """A bucket or a function URL that gets the viewer's Host refuses the signature, an API knows it not."""
    hosts = {"216adef6-5c7f-47e4-b989-5492eafa07d3", "bf0718e1-ba1e-49d1-88b1-f726733018ae"}
    for name, p in of_type(tree, "AWS::CloudFront::OriginRequestPolicy").items():
        headers = p["OriginRequestPolicyConfig"]["HeadersConfig"]
        listed = "host" in [header.lower() for header in headers.get("Headers", [])]
        kind = headers["HeaderBehavior"]
        if kind == "allViewer" or (kind == "whitelist" and listed) or (kind == "allExcept" and not listed):
            hosts.add(name)
    for config in distributions(tree):
        signed = {o["Id"] for o in config["Origins"] if "OriginAccessControlId" in o or is_api(o)}
        signed |= {g["Id"] for g in groups(config) if signed & {m["OriginId"] for m in g["Members"]["Items"]}}
        for behavior in behaviors(config):
            policy = behavior.get("OriginRequestPolicyId")
            named = policy["Ref"] if isinstance(policy, dict) else policy
            if behavior["TargetOriginId"] in signed and named in hosts:
                yield "the viewer's Host for what is signed"


def apis_may_call(tree: Tree) -> Iterator[str]:
    """Each API its function, in time, and none other."""
    functions = of_type(tree, FUNCTION)
    allowed = {
        (p["FunctionName"]["Ref"], re.findall(r"\$\{([A-Za-z]+)\}/", p["SourceArn"]["Fn::Sub"])[0])
        for p in of_type(tree, "AWS::Lambda::Permission").values()
        if p["Principal"] == "apigateway.amazonaws.com" and "SourceArn" in p
    }
    called: list[tuple[str, str, int]] = []
    for p in of_type(tree, "AWS::ApiGatewayV2::Integration").values():
        called.append((p["IntegrationUri"]["Fn::GetAtt"][0], p["ApiId"]["Ref"], p["TimeoutInMillis"]))
        if p.get("PayloadFormatVersion") != "2.0":
            yield "the events are not those that the function reads"
    for p in of_type(tree, "AWS::ApiGateway::Method").values():
        if p["Integration"]["Type"] == "AWS":
            name = re.findall(r"functions/\$\{([A-Za-z]+)\.Arn\}", p["Integration"]["Uri"]["Fn::Sub"])[0]
            called.append((name, p["RestApiId"]["Ref"], p["Integration"]["TimeoutInMillis"]))
    for name, api, patience_ms in called:
        if (name, api) not in allowed:
            yield f"{api} may not call {name}"
        if functions[name]["Timeout"] * 1000 > patience_ms:
            yield f"{name} goes on when nobody waits for it"


def balancers_know_their_caller(tree: Tree) -> Iterator[str]:
    """An HTTP API is open to all: by a secret alone the function believes what it is told of viewers."""
    parameters = tree.get("Parameters", {})
    secrets: list[Any] = []
    for name, function in of_type(tree, FUNCTION).items():
        told = function.get("Environment", {}).get("Variables", {})
        secret = told.get("caller_secret")
        secrets += [secret] if secret is not None else []
        is_hidden = secret is not None and "NoEcho" in parameters.get(secret["Ref"], {})
        if "trusted_hops" in told and not is_hidden:
            yield f"{name}: believes anybody"
    for config in distributions(tree):
        for origin in filter(is_api, config["Origins"]):
            said = [
                header["HeaderValue"]
                for header in origin.get("OriginCustomHeaders", [])
                if header["HeaderName"] == "x-edge-secret"
            ]
            if said != secrets:
                yield f"{origin['Id']}: the function refuses CloudFront"


def schedules_may_call(tree: Tree) -> Iterator[str]:
    roles = of_type(tree, "AWS::IAM::Role")
    for name, schedule in of_type(tree, "AWS::Scheduler::Schedule").items():
        target = schedule["Target"]
        role = roles[target["RoleArn"]["Fn::GetAtt"][0]]
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        if "scheduler.amazonaws.com" not in trust["Principal"]["Service"] or "Condition" not in trust:
            yield f"{name}: its role is for others"
        allowed = [s["Resource"] for p in role["Policies"] for s in p["PolicyDocument"]["Statement"]]
        if target["Arn"] not in allowed:
            yield f"{name}: may not call its function"
        if not re.fullmatch(r"rate\((1 minute|(?!1 )\d+ minutes)\)", schedule["ScheduleExpression"]):
            yield f"{name}: {schedule['ScheduleExpression']} is no rate"


def tables_are_as_functions_want_them(tree: Tree) -> Iterator[str]:
    """`health/dynamodb.py` has the names, and reads in batches."""
    tables, roles = of_type(tree, "AWS::DynamoDB::Table"), of_type(tree, "AWS::IAM::Role")
    for name, table in tables.items():
        if table["KeySchema"] != [{"AttributeName": "server", "KeyType": "HASH"}]:
            yield f"{name}: its key is another"
        if table.get("TimeToLiveSpecification", {}).get("AttributeName") != "expires":
            yield f"{name}: grows for ever"
    for name, function in of_type(tree, FUNCTION).items():
        told = function.get("Environment", {}).get("Variables", {}).get("health_table")
        if told is None:
            continue
        wanted = {"dynamodb:BatchGetItem"} | ({"dynamodb:PutItem"} if name == "Canary" else set())
        allowed = {
            action
            for policy in roles[function["Role"]["Fn::GetAtt"][0]]["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
            if statement["Resource"] == {"Fn::GetAtt": [told["Ref"], "Arn"]}
            for action in statement["Action"]
        }
        if allowed != wanted:
            yield f"{name}: may {sorted(allowed)}, wants {sorted(wanted)}"


def nothing_is_open(tree: Tree) -> Iterator[str]:
    """Roles name what they may do, and to what; nobody else may read a bucket."""
    for name, properties in of_type(tree, "AWS::IAM::Role").items():
        if properties.get("ManagedPolicyArns"):
            yield f"{name}: a policy that is not written for it"
        for policy in properties["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                if any("*" in action for action in statement["Action"]) or statement["Resource"] == "*":
                    yield f"{name}: may too much"
    for name, bucket in of_type(tree, "AWS::S3::Bucket").items():
        if not all(bucket.get("PublicAccessBlockConfiguration", {"": False}).values()):
            yield f"{name}: open to everybody"
        if "AbortIncompleteMultipartUpload" not in str(bucket.get("LifecycleConfiguration")):
            yield f"{name}: cut-off uploads stay"
    for properties in of_type(tree, "AWS::S3::BucketPolicy").values():
        for statement in properties["PolicyDocument"]["Statement"]:
            if "AWS:SourceArn" not in statement.get("Condition", {}).get("StringEquals", {}):
                yield "any distribution may read the bucket"


def names_are_there(tree: Tree) -> Iterator[str]:
    known = {*tree["Resources"], *tree.get("Parameters", {})}

    def walked(value: Any) -> Iterator[str]:
        match value:
            case {"Ref": str(name)}:
                yield name.removesuffix(".Version")
            case {"Fn::GetAtt": [name, _]}:
                yield name
            case {"Fn::Sub": str(text)}:
                yield from re.findall(r"\$\{([A-Za-z0-9:]+)\}", text)
            case dict():
                for inner in value.values():
                    yield from walked(inner)
            case list():
                for inner in value:
                    yield from walked(inner)

    for name in walked(
        {"r": tree["Resources"], "o": tree.get("Outputs", {}), "c": tree.get("Conditions", {})}
    ):
        if not name.startswith("AWS::") and name not in known:
            yield f"{name} is nowhere"


RULES: tuple[Rule, ...] = (
    targets_exist,
    ids_are_unique,
    failover_codes_are_known,
    quantities_are_right,
    methods_are_a_set_of_cloudfronts,
    origins_are_host_names,
    access_control_has_its_config,
    associations_are_sound,
    edge_functions_are_fit,
    queues_wait_long_enough,
    notifications_may_call,
    urls_may_be_called,
    redirects_are_not_kept,
    hosts_are_not_passed_on,
    apis_may_call,
    balancers_know_their_caller,
    schedules_may_call,
    tables_are_as_functions_want_them,
    nothing_is_open,
    names_are_there,
)


def faults(tree: Tree) -> list[str]:
    """What any rule says."""
    return [f"{rule.__name__}: {line}" for rule in RULES for line in rule(tree)]
