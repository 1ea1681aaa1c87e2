"""{{name}}: quiet hours, in which no container is cleaned up.

| setting            | value                         | effect                                                          |
|--------------------|-------------------------------|-----------------------------------------------------------------|
| `quiet_hours`      | `FROM-TO`, 22-06 if not set   | from FROM o'clock until TO o'clock, nothing is removed          |
| `utc_offset_hours` | -12 to 14, 0 if not set       | by which the hours of `quiet_hours` are ahead of UTC            |

A policy answers two questions. *When* is a stopped container due? That is `Retention.review`, in this file: change it
to your liking. *How* is it removed? That is `Cleanup.handle`, in `cleanup.py`: it can stay as it is.

What all the types and functions mean stands in `wit/`. `make bindings` writes them in Python, for your editor.
"""

from componentize_py_types import Err
from wit_world.exports.retention import Advice, Advice_Due, Advice_Keep, Advice_WaitUntil, Candidate
from wit_world.imports import clock, store

# `Cleanup` and `Retention` are the names by which the host finds what a policy exports.
from cleanup import Cleanup  # noqa: F401
from problems import told

MICROS_PER_HOUR = 3_600_000_000


class Retention:
    @told
    def review(self, candidate: Candidate) -> Advice:
        """Is it due? The platform's own retention is over already: a policy can only keep longer."""
        try:
            start, end = quiet_hours()
            offset = utc_offset_hours()
        except ValueError as problem:
            # Removing cannot be undone, so what is unclear is kept. People see the reason.
            return Advice_Keep(str(problem))
        now = clock.now()
        quiet_until = end_of_quiet(now, start, end, offset)
        return Advice_Due() if quiet_until is None else Advice_WaitUntil(quiet_until)


def end_of_quiet(now: int, start: int, end: int, offset: int) -> int | None:
    """When the quiet hours end in which `now` is (both in microseconds since 1970, UTC); None if it is in none."""
    hours_now = now // MICROS_PER_HOUR
    hour = (hours_now + offset) % 24
    quiet_for = (end - start) % 24
    since_start = (hour - start) % 24
    if since_start >= quiet_for:
        return None
    return (hours_now + quiet_for - since_start) * MICROS_PER_HOUR


def quiet_hours() -> tuple[int, int]:
    text = setting("quiet_hours", "22-06")
    start, dash, end = text.partition("-")
    hours = [int(hour) for hour in (start, end) if hour.isascii() and hour.isdigit()]
    if dash != "-" or len(hours) != 2 or max(hours) > 24:
        raise ValueError(f'quiet_hours is "{text}", not FROM-TO in whole hours, such as 22-06')
    return hours[0] % 24, hours[1] % 24


def utc_offset_hours() -> int:
    text = setting("utc_offset_hours", "0")
    try:
        offset = int(text)
    except ValueError:
        offset = 99
    if not -12 <= offset <= 14:
        raise ValueError(f'utc_offset_hours is "{text}", not a whole number from -12 to 14')
    return offset


def setting(name: str, otherwise: str) -> str:
    """What the tenant's binding sets."""
    try:
        value = store.get(name)
    except Err:
        raise ValueError("the settings cannot be read") from None
    return otherwise if value is None else value.strip()
