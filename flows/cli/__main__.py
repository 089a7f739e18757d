"""`python -m flows.cli` is the `facemask` command."""

from flows.cli import main

main()
