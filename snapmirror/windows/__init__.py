"""The Windows host: queried over WinRM, prepared, and informed of each night.

The scripts that run there are in `scripts`, one file each; their findings are judged here. None of these modules is
imported unless the configuration has a section [host].
"""
