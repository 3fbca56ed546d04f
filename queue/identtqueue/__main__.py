"""`python -m identtqueue` is the command `identtqueue`."""

from identtqueue.cli import main

main()
