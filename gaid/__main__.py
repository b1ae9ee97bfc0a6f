"""`python -m gaid` is the command `gaid`."""

from gaid.cli import main

main()
