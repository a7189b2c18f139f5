"""Errors that are the user's to fix, so that a command can say so in one line."""


class InputError(ValueError):
    """Bad input: a file, a name or a value the user gave cannot be used.

    Commands print its message as one line on standard error and leave with exit code 2; from Python
    it is an ordinary ``ValueError``. Raise it with the thing, the rule and what was found.
    """
