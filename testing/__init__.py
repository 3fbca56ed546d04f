"""What tests, end-to-end tests and benchmarks share: real servers, processes, proxies, clusters."""
