"""The Windows host as this machine sees it: asked over WinRM, prepared, and told of each night.

The scripts that run there are in `scripts`, one file each; what they find is judged here. Nothing of this is imported
unless the configuration has a section [host].
"""
