"""Chaos: real producers and workers, random faults, and books that must balance."""
