"""Entry point of `python -m identtqueue`: the same as the command `identtqueue`."""

from identtqueue.cli import main

main()
