"""`python -m snapmirror` is the command `snapmirror`."""

from snapmirror.cli import main

if __name__ == "__main__":
    main()
