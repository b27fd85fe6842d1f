"""The configuration as a CloudFormation stack: CloudFront, bucket, queue and functions."""
