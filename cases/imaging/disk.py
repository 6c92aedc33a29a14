"""Whose fault it is when something cannot be written."""

import errno


def is_full(error: BaseException) -> bool:
    """Our disk is full, or our share of it: not the file's fault, and nothing about the file is known yet."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
