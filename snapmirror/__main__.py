"""`python -m snapmirror` is the command `snapmirror`."""

import signal


def main() -> None:
    """The command `snapmirror`, and until it takes the signals over Ctrl-C ends the process without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from snapmirror import cli  # not above: it takes a moment, in which Python would show a traceback

    cli.main()


if __name__ == "__main__":
    main()
