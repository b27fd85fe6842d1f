"""Where objects come from. Everything here is an `Origin`: one verb, `fetch`."""
