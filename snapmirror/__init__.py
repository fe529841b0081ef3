"""snapmirror: dated, browsable, unchanging backups of remote servers in one sparse image file."""

__version__ = "0.1.0"
