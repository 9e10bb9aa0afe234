"""The one error of the launcher that is meant for people."""


class LaunchError(Exception):
    """An error that the person at the keyboard can mend. Its text is one line and is all they need to read."""
