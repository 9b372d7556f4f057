"""`python -m evigraph`."""

from evigraph.cli import main

main()
