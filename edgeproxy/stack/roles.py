"""What each function may do, and nothing else.

Lambda Developer Guide, "Defining Lambda function permissions with an execution role"; CloudFront Developer
Guide, "Set up IAM permissions and roles for Lambda@Edge".
"""

from edgeproxy.stack.intrinsics import Tree, att, literal, statement, sub
from edgeproxy.stack.surroundings import bucket_arn, folder_of


def called_by(*services: str) -> Tree:
    """What lets services take a role, for this account alone where they are not Lambda's own."""
    trust: Tree = {"Effect": "Allow", "Principal": {"Service": list(services)}, "Action": "sts:AssumeRole"}
    if not any(service.startswith(("lambda.", "edgelambda.")) for service in services):
        trust["Condition"] = {"StringEquals": {"aws:SourceAccount": sub("${AWS::AccountId}")}}
    return trust


def role(statements: list[Tree], *, at_the_edge: bool = False, trusts: list[Tree] | None = None) -> Tree:
    """A role that Lambda may take, and CloudFront for functions at the edge; or whoever `trusts` lets."""
    services = ["lambda.amazonaws.com", *(["edgelambda.amazonaws.com"] if at_the_edge else [])]
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": _document(trusts or [called_by(*services)]),
            "Policies": [{"PolicyName": "function", "PolicyDocument": _document(statements)}],
        },
    }


def _document(statements: list[Tree]) -> Tree:
    return {"Version": "2012-10-17", "Statement": statements}


def writing_its_log(group: str) -> Tree:
    """Into the log group that is a resource of the stack."""
    return statement(["logs:CreateLogStream", "logs:PutLogEvents"], att(group, "Arn"))


def writing_logs_at_the_edge() -> Tree:
    """Groups come to be wherever viewers are: in any region, named after the function in us-east-1."""
    actions = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    groups = (
        "arn:${AWS::Partition}:logs:*:${AWS::AccountId}:log-group:/aws/lambda/us-east-1.${AWS::StackName}-*"
    )
    return statement(actions, sub(groups))


def filling(bucket: str, path: str = "") -> list[Tree]:
    """Looking for objects in the bucket that the parameter `bucket` names, and writing them.

    Who may not list is told 403 of what is missing, which would look like a refusal.
    """
    return [
        statement(
            ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
            sub(f"{bucket_arn(bucket)}/{literal(folder_of(path))}*"),
        ),
        statement(["s3:ListBucket"], sub(bucket_arn(bucket))),
    ]
