"""A REST API before pools with the published mapping template, for those who have clients of one.

The template is that of the API Gateway console ("Method Request passthrough") with its two faults mended: the
method also stands where the published function looks for it, and an apostrophe does not make it bad JSON.
"API Gateway mapping template and access logging variable reference"; "Map method response data".
"""

import hashlib
import json

from edgeproxy.config.pool import PoolOrigin
from edgeproxy.lambdas.http_event import MAPPED_FIELDS, MAPPED_STATUSES
from edgeproxy.stack.balancer import balance, called_by_api
from edgeproxy.stack.intrinsics import Tree, att, ref, sub
from edgeproxy.stack.surroundings import Surroundings

REST = "RestApi"
_FUNCTION = "BalanceForRest"
_STAGE = "live"
_PATIENCE_MS = 29_000
"""What a REST API waits for a function.  API Gateway Developer Guide, "Quotas"."""
_METHODS = "GET,HEAD,OPTIONS,PUT,PATCH,POST,DELETE"
_UNESCAPED = 'replaceAll("\\\\\'", "\'")'
_PAIR = f"""\
#set($key = $util.escapeJavaScript($name))
"$key.{_UNESCAPED}": "$value.{_UNESCAPED}"#if($foreach.hasNext),#end
"""
_LOOP = f"""\
#set($all = $input.params())
{{
"http-method": "$context.httpMethod",
"body-json": $input.json('$'),
"params": {{
#foreach($type in $all.keySet())
#set($params = $all.get($type))
"$type": {{
#foreach($name in $params.keySet())
#set($value = $util.escapeJavaScript($params.get($name)))
{_PAIR}#end
}}#if($foreach.hasNext),#end
#end
}},
"stage-variables": {{
#foreach($name in $stageVariables.keySet())
#set($value = $util.escapeJavaScript($stageVariables.get($name)))
{_PAIR}#end
}},
"context": {{
"""
_CONTEXT = {
    "account-id": "identity.accountId",
    "api-id": "apiId",
    "api-key": "identity.apiKey",
    "authorizer-principal-id": "authorizer.principalId",
    "caller": "identity.caller",
    "cognito-authentication-provider": "identity.cognitoAuthenticationProvider",
    "cognito-authentication-type": "identity.cognitoAuthenticationType",
    "cognito-identity-id": "identity.cognitoIdentityId",
    "cognito-identity-pool-id": "identity.cognitoIdentityPoolId",
    "http-method": "httpMethod",
    "stage": "stage",
    "source-ip": "identity.sourceIp",
    "user": "identity.user",
    "user-agent": "identity.userAgent",
    "user-arn": "identity.userArn",
    "request-id": "requestId",
    "resource-id": "resourceId",
    "resource-path": "resourcePath",
}


def _of_context(name: str, value: str) -> str:
    # A program calls itself what it likes.
    is_free = name == "user-agent"
    said = f"$util.escapeJavaScript($context.{value}).{_UNESCAPED}" if is_free else f"$context.{value}"
    return f'"{name}": "{said}"'


MAPPING = _LOOP + ",\n".join(_of_context(*pair) for pair in _CONTEXT.items()) + "\n}\n}\n"
"""What a request becomes."""


def pattern(status: int) -> str:
    """Which texts of errors have this status: those of `MappedStatusError`; of others that is 502."""
    ours = rf'\{{"status": {status},.*'
    return rf'(?:{ours})|(?:(?!\{{"status": )[\s\S]+)' if status == 502 else ours


def _error(status: int) -> str:
    """What an error becomes: its body, and the fields that go with it."""
    lines = ["#set($told = $util.parseJson($input.path('$.errorMessage')))"]
    for field in MAPPED_FIELDS:
        value = f"$told.get('{field}')"
        name = "-".join(part.capitalize() for part in field.split("-"))
        lines.append(f"#if({value})#set($context.responseOverride.header.{name} = {value})#end")
    lines.append("$told.get('body')")
    if status != 502:
        return "\n".join(lines)
    is_ours = """#if($input.path('$.errorMessage').startsWith('{"status": '))"""
    return "\n".join([is_ours, *lines, "#else", '"the function failed"', "#end"])


def rest_parameters() -> dict[str, Tree]:
    """Whose pages may call."""
    about = "Origin whose pages may call the REST API, such as https://www.example.org; * = any"
    return {"RestOrigin": {"Type": "String", "Default": "*", "Description": about}}


def rest(pools: dict[str, PoolOrigin], around: Surroundings) -> dict[str, Tree]:
    """The API, its one stage, and a function of its own: nobody stands between it and its callers."""
    proxy = f"{REST}Proxy"
    methods = {
        f"{REST}RootMethod": _any(att(REST, "RootResourceId"), has_path=False),
        f"{REST}RootPreflight": _preflight(att(REST, "RootResourceId")),
        f"{proxy}Method": _any(ref(proxy), has_path=True),
        f"{proxy}Preflight": _preflight(ref(proxy)),
    }
    # A deployment is what methods were when it was made: others, another.
    digest = hashlib.sha256(json.dumps(methods, sort_keys=True).encode()).hexdigest()[:10]
    deployment = f"{REST}Deployment{digest}"
    return {
        **balance(_FUNCTION, pools, around, {}),
        REST: {
            "Type": "AWS::ApiGateway::RestApi",
            "Properties": {
                "Name": sub("${AWS::StackName}-rest"),
                "EndpointConfiguration": {"Types": ["REGIONAL"]},
            },
        },
        proxy: {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {
                "RestApiId": ref(REST),
                "ParentId": att(REST, "RootResourceId"),
                "PathPart": "{proxy+}",
            },
        },
        **methods,
        deployment: {
            "Type": "AWS::ApiGateway::Deployment",
            "DependsOn": list(methods),
            "Properties": {"RestApiId": ref(REST)},
        },
        f"{REST}Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {"RestApiId": ref(REST), "DeploymentId": ref(deployment), "StageName": _STAGE},
        },
        f"{REST}Permission": called_by_api(_FUNCTION, REST),
    }


def rest_url() -> Tree:
    """Where the API is."""
    return sub(f"https://${{{REST}}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}/{_STAGE}")


_ALLOW_ORIGIN = "method.response.header.Access-Control-Allow-Origin"
_ALLOW_METHODS = "method.response.header.Access-Control-Allow-Methods"
_ALLOW_HEADERS = "method.response.header.Access-Control-Allow-Headers"


def _any(resource: Tree, *, has_path: bool) -> Tree:
    function = f"${{{_FUNCTION}.Arn}}"
    uri = (
        "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
        f"{function}/invocations"
    )
    answers: list[Tree] = [{"StatusCode": "200"}]
    for status in MAPPED_STATUSES:
        answers.append(
            {
                "StatusCode": str(status),
                "SelectionPattern": pattern(status),
                "ResponseTemplates": {"application/json": _error(status)},
            }
        )
    shared = {_ALLOW_ORIGIN: sub("'${RestOrigin}'")}
    method: Tree = {
        "RestApiId": ref(REST),
        "ResourceId": resource,
        "HttpMethod": "ANY",
        "AuthorizationType": "NONE",
        "Integration": {
            "Type": "AWS",
            "IntegrationHttpMethod": "POST",
            "Uri": sub(uri),
            "TimeoutInMillis": _PATIENCE_MS,
            "PassthroughBehavior": "WHEN_NO_TEMPLATES",
            "RequestTemplates": {"application/json": MAPPING},
            "IntegrationResponses": [{**answer, "ResponseParameters": shared} for answer in answers],
        },
        "MethodResponses": [
            {"StatusCode": answer["StatusCode"], "ResponseParameters": {_ALLOW_ORIGIN: False}}
            for answer in answers
        ],
    }
    if has_path:
        method["RequestParameters"] = {"method.request.path.proxy": True}
    return {"Type": "AWS::ApiGateway::Method", "Properties": method}


def _preflight(resource: Tree) -> Tree:
    allowed: Tree = {
        _ALLOW_ORIGIN: sub("'${RestOrigin}'"),
        _ALLOW_METHODS: f"'{_METHODS}'",
        _ALLOW_HEADERS: "'Authorization,Content-Type'",
    }
    return {
        "Type": "AWS::ApiGateway::Method",
        "Properties": {
            "RestApiId": ref(REST),
            "ResourceId": resource,
            "HttpMethod": "OPTIONS",
            "AuthorizationType": "NONE",
            "Integration": {
                "Type": "MOCK",
                "RequestTemplates": {"application/json": '{"statusCode": 204}'},
                "IntegrationResponses": [{"StatusCode": "204", "ResponseParameters": allowed}],
            },
            "MethodResponses": [
                {"StatusCode": "204", "ResponseParameters": dict.fromkeys(allowed, False)},
            ],
        },
    }
