"""The parser is built in another module of the project."""

from cli import build_parser

if __name__ == "__main__":
    args = build_parser().parse_args()
