"""The embedded engine: an Anylearn server for one user on one machine."""
