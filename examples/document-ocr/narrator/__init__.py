"""Tells what happens on the cluster while the documents are read, and checks that it is right."""
