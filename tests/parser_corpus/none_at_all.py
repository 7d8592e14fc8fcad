"""No parser: it reads its words itself."""

import sys

rate = float(sys.argv[1]) if len(sys.argv) > 1 else 0.1
print(rate)
