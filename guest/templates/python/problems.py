"""What is said when the policy raises: it has no standard error, so the traceback goes to the platform's log."""

import traceback
from functools import wraps

from wit_world.imports.logging import Level, log


def told(function):
    """Logs what is raised, line by line, before it ends the run."""

    @wraps(function)
    def telling(*arguments):
        try:
            return function(*arguments)
        except Exception as problem:
            for line in "".join(traceback.format_exception(problem)).splitlines():
                log(Level.CRITICAL, "exception", line)
            raise

    return telling
