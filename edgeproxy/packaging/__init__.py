"""Lambda functions as zip files that run where nothing is installed."""
