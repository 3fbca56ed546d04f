"""Entry point of `python -m identtqueue_operator`."""

import sys

from identtqueue.beginning import exit_on_sigterm

if __name__ == "__main__":
    exit_on_sigterm()
    # Imported last: kopf and the Kubernetes client take most of the start.
    from identtqueue_operator.operate import main

    sys.exit(main())
