"""How a stopped container is removed: lease, record, container, record, entry, lease, in this order.

The host checks every step and refuses what breaks its rules, so nothing here can harm another game or a container that
runs. Whatever happens, a run writes one entry and gives its lease back.
"""

from dataclasses import dataclass

from componentize_py_types import Err
from wit_world.exports.cleanup import Request, Verdict
from wit_world.imports import docker, leases, op_log, records
from wit_world.imports.types import (
    Error,
    Error_Conflict,
    Error_Denied,
    Error_LeaseLost,
    Error_NotFound,
    Error_OutcomeUnknown,
    Outcome,
    RuntimeRecord,
    Status_Removed,
    Status_Running,
    Status_Stopped,
)

from problems import told

OP_SOURCES = ("admin_rest", "auto_ttl", "cli", "reconciler")


@dataclass
class Ended:
    """How a run ended: a code for programs, a message for people. With a message, it failed."""

    code: str | None
    message: str | None = None


REMOVED = Ended(None)
ALREADY_REMOVED = Ended("replay_no_op")


class Cleanup:
    @told
    def handle(self, request: Request) -> Verdict:
        if request.op_source not in OP_SOURCES:
            return conclude(Ended("invalid_request", "nobody known asks for it"), None)
        try:
            lease = leases.try_acquire()
        except Err as error:
            return conclude(because(error.value, "service_unavailable", "no lease could be taken"), None)
        if lease is None:
            return conclude(Ended("conflict", "another operation on the game is under way"), None)
        # Leaving the block gives the lease back.
        with lease:
            return under_lease(lease)


def under_lease(lease: leases.Lease) -> Verdict:
    try:
        record = records.get()
    except Err as error:
        return conclude(because(error.value, "internal_error", "the record could not be loaded"), None)
    return conclude(clean_up(lease, record), record)


def clean_up(lease: leases.Lease, record: RuntimeRecord) -> Ended:
    match record.status:
        case Status_Stopped():
            pass
        case Status_Removed():
            return ALREADY_REMOVED
        case Status_Running():
            return Ended("conflict", "the runtime is running; stop it first")
        case _:
            return Ended("internal_error", "the record has a status that this policy does not know")
    if record.container_id is not None:
        try:
            docker.remove(lease, record.container_id)
        except Err as error:
            return settled(error.value, "service_unavailable", "the container was not removed")
    try:
        records.update_status(lease, Status_Stopped(), record.container_id, Status_Removed())
    except Err as error:
        return settled(error.value, "internal_error", "the record was not updated")
    return REMOVED


def settled(error: Error, otherwise: str, message: str) -> Ended:
    """A call failed. If the record says `removed` now, the work was done all the same."""
    if isinstance(error, Error_Conflict | Error_OutcomeUnknown):
        try:
            if isinstance(records.get().status, Status_Removed):
                return ALREADY_REMOVED
        except Err:
            pass
    return because(error, otherwise, message)


def because(error: Error, otherwise: str, message: str) -> Ended:
    match error:
        case Error_NotFound():
            return Ended("not_found", message)
        case Error_Conflict() | Error_LeaseLost():
            return Ended("conflict", message)
        case Error_Denied("held"):
            return Ended("conflict", "an operator holds the game")
        case Error_Denied("owner-mismatch"):
            return Ended("conflict", "the container's labels name another owner")
        case _:
            return Ended(otherwise, message)


def conclude(ended: Ended, record: RuntimeRecord | None) -> Verdict:
    """The run's last word, in the log and to the caller."""
    outcome = Outcome.SUCCESS if ended.message is None else Outcome.FAILURE
    container_id, image_ref = (None, None) if record is None else (record.container_id, record.image_ref)
    try:
        op_log.append(op_log.Entry(outcome, ended.code, ended.message, container_id, image_ref))
    except Err:
        pass  # The host has seen it, and logs the entry itself.
    return Verdict(outcome, ended.code, ended.message)
