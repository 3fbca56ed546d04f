"""The tests on each server and on each Python (`make matrix`)."""
