"""The same decisions as AWS Lambda handlers: events in, answers out."""
