"""Train a model from a notebook, against any Anylearn server or the embedded engine."""
