"""The one place where the rules meet the world. How a request goes: docs/life-of-a-request.md."""
