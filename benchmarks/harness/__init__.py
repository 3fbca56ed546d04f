"""What all benchmarks share: the libraries, how each is installed, started, asked and ended."""
