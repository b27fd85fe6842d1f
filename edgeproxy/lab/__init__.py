"""The lab: an S3, a full origin and the gateway on one machine, to try things out."""
