// Package cleanup removes a stopped container: lease, record, container, record, entry, lease, in this order.
//
// The host checks every step and refuses what breaks its rules, so nothing here can harm another game or a container that
// runs. Whatever happens, a run writes one entry and gives its lease back.
package cleanup

import (
	"slices"

	cleanup "policy/bindings/galaxy_rtmanager_cleanup"
	docker "policy/bindings/galaxy_rtmanager_docker"
	leases "policy/bindings/galaxy_rtmanager_leases"
	oplog "policy/bindings/galaxy_rtmanager_op_log"
	records "policy/bindings/galaxy_rtmanager_records"
	types "policy/bindings/galaxy_rtmanager_types"
	"policy/problems"

	. "go.bytecodealliance.org/pkg/wit/types"
)

var opSources = []string{"admin_rest", "auto_ttl", "cli", "reconciler"}

// How a run ended: a code for programs, a message for people. With a message, it failed.
type ended struct{ code, message Option[string] }

var (
	removed        = ended{}
	alreadyRemoved = ended{code: Some("replay_no_op")}
)

// Handle cleans up this run's game.
func Handle(request cleanup.Request) cleanup.Verdict {
	defer problems.Told()
	if !slices.Contains(opSources, request.OpSource) {
		return conclude(failed("invalid_request", "nobody known asks for it"), nil)
	}
	granted := leases.TryAcquire()
	if granted.IsErr() {
		return conclude(because(granted.Err(), "service_unavailable", "no lease could be taken"), nil)
	}
	if granted.Ok().IsNone() {
		return conclude(failed("conflict", "another operation on the game is under way"), nil)
	}
	lease := granted.Ok().Some()
	defer lease.Drop() // Gives it back.
	read := records.Get()
	if read.IsErr() {
		return conclude(because(read.Err(), "internal_error", "the record could not be loaded"), nil)
	}
	record := read.Ok()
	return conclude(cleanUp(lease, record), &record)
}

func cleanUp(lease *leases.Lease, record types.RuntimeRecord) ended {
	switch record.Status.Tag() {
	case types.StatusStopped:
	case types.StatusRemoved:
		return alreadyRemoved
	case types.StatusRunning:
		return failed("conflict", "the runtime is running; stop it first")
	default:
		return failed("internal_error", "the record has a status that this policy does not know")
	}
	if record.ContainerId.IsSome() {
		if gone := docker.Remove(lease, record.ContainerId.Some()); gone.IsErr() {
			return settled(gone.Err(), "service_unavailable", "the container was not removed")
		}
	}
	changed := records.UpdateStatus(lease, types.MakeStatusStopped(), record.ContainerId, types.MakeStatusRemoved())
	if changed.IsErr() {
		return settled(changed.Err(), "internal_error", "the record was not updated")
	}
	return removed
}

// A call failed. If the record says removed now, the work was done all the same.
func settled(err types.Error, otherwise, message string) ended {
	if err.Tag() == types.ErrorConflict || err.Tag() == types.ErrorOutcomeUnknown {
		if now := records.Get(); now.IsOk() && now.Ok().Status.Tag() == types.StatusRemoved {
			return alreadyRemoved
		}
	}
	return because(err, otherwise, message)
}

func because(err types.Error, otherwise, message string) ended {
	switch err.Tag() {
	case types.ErrorNotFound:
		return failed("not_found", message)
	case types.ErrorConflict, types.ErrorLeaseLost:
		return failed("conflict", message)
	case types.ErrorDenied:
		switch err.Denied() {
		case "held":
			return failed("conflict", "an operator holds the game")
		case "owner-mismatch":
			return failed("conflict", "the container's labels name another owner")
		}
	}
	return failed(otherwise, message)
}

func failed(code, message string) ended { return ended{Some(code), Some(message)} }

// The run's last word, in the log and to the caller.
func conclude(how ended, record *types.RuntimeRecord) cleanup.Verdict {
	entry := oplog.Entry{Outcome: types.OutcomeSuccess, ErrorCode: how.code, Message: how.message}
	if how.message.IsSome() {
		entry.Outcome = types.OutcomeFailure
	}
	if record != nil {
		entry.ContainerId, entry.ImageRef = record.ContainerId, record.ImageRef
	}
	oplog.Append(entry) // If it fails, the host has seen it, and logs the entry itself.
	return cleanup.Verdict{Outcome: entry.Outcome, ErrorCode: how.code, Message: how.message}
}
