"""The command line. One module per command, and what they share.

A command is a module with `declare`, which says what options it takes, and `run`, which carries it
out. Data goes to standard output, and all else to standard error.
"""
