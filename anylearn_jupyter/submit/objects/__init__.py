"""The objects of the published SDK, under their names: what existing scripts hold and ask.

Each is a plain value with the published constructor keywords, attributes and methods; a method is
one call of `client.api`, and whatever creates something writes its key into the ledger first
(`saving`). They stand on top of the frozen entities, which the rest of the package uses.

One module for each noun: `algorithm`, `dataset`, `model`, `file` (all on `resource`), `project`,
`quota_group`, `mirror`; `known_task` and `published_task` are what `submit.task.TrainTask` is
built on. Nothing is imported here, so that a name costs only its own module.
"""
