"""How a script's parser is read from its text, one module for each kind of parser.

A small interpreter (`interpreter`, `statements`, `evaluation`) goes through the script as Python
would, over values that may be `UNKNOWN`: nothing of the script is imported or run, no file but its
modules and Hydra's YAML is read. A kind of parser is a module that gives a `library.Library`: what
the names of its package stand for.
"""
