"""The commands, a file for each thing that they are about. They do not know each other."""
