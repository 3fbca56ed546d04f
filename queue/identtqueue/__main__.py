"""Entry point of the command `identtqueue`, and of `python -m identtqueue`."""

from identtqueue.beginning import collect_seldom, exit_on_sigterm


def main() -> None:
    """Run the command."""
    exit_on_sigterm()
    collect_seldom()
    # Imported last: this takes most of a command's start.
    from identtqueue.cli.commands import main as command  # noqa: PLC0415

    command()


if __name__ == "__main__":
    main()
