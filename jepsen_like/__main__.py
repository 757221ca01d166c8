"""`python -m jepsen_like`."""

from jepsen_like.cli import main

main()
