"""`python -m snapmirror` is the command `snapmirror`."""

import signal


def main() -> None:
    """The command `snapmirror`; until it handles the signals, Ctrl-C ends the process without a message."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from snapmirror import cli  # not above: it takes a moment, in which Python would show a traceback

    cli.main()


if __name__ == "__main__":
    main()
