"""`python -m identtqueue_operator.plugin`: the same as `kubectl-tq`."""

from identtqueue_operator.plugin.main import main

main()
