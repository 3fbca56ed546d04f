"""Costs of the library and the faults that it survives, beside its peers; see README.md."""
