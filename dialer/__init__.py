"""The dialer: a daemon that works through lists of calls. See ARCHITECTURE.md for the way through the files."""
