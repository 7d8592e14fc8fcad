"""The HTTP client: the only part that knows the network."""
