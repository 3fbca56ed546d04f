"""Common to all benchmarks: the libraries, how each is installed, started, asked and ended."""
