"""`python -m smpmm_tools` is `smpmm`."""

import sys

from smpmm_tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
