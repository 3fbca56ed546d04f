"""The management commands, a module for each."""
