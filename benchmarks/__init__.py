"""What the library costs and survives, beside its peers; see README.md."""
