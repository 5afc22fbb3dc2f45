"""Errors a user can cause. One sentence: what was seen, what is allowed, what to do."""


class UserError(ValueError):
    """Shown as its one sentence, without a traceback; commands end with exit code 2."""
