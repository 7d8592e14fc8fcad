"""The submission: a request, its named steps, and the task that comes of it."""
