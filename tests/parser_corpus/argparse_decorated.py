"""Main functions in wrappers."""

import argparse
import functools


def record(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@record
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.3)
    with open(__file__) as file:
        parser.add_argument("--inside", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
