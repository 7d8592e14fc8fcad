def add(parser:
