"""Entry point of `python -m identtqueue_operator.local`, the same as `identtqueue local`."""

from identtqueue_operator.local.cli import local

if __name__ == "__main__":
    local(prog_name="identtqueue local")
