// How a stopped container is removed: lease, record, container, record, entry, lease, in this order.
//
// The host checks every step and refuses what breaks its rules, so nothing here can harm another game or a container that
// runs. Whatever happens, a run writes one entry and gives its lease back.

import type { Request, Verdict } from "galaxy:rtmanager/cleanup@0.1.0";
import * as docker from "galaxy:rtmanager/docker@0.1.0";
import { type Lease, tryAcquire } from "galaxy:rtmanager/leases@0.1.0";
import { append } from "galaxy:rtmanager/op-log@0.1.0";
import * as records from "galaxy:rtmanager/records@0.1.0";
import type { Failure, Outcome, RuntimeRecord } from "galaxy:rtmanager/types@0.1.0";

const opSources = ["admin_rest", "auto_ttl", "cli", "reconciler"];

/** How a run ended: a code for programs, a message for people. With a message, it failed. */
interface Ended {
  code: string | null;
  message: string | null;
}

const removed: Ended = { code: null, message: null };
const alreadyRemoved: Ended = { code: "replay_no_op", message: null };

export function handle(request: Request): Verdict {
  if (!opSources.includes(request.opSource)) return conclude(failed("invalid_request", "nobody known asks for it"), null);
  const [lease, refusal] = tried(tryAcquire);
  if (refusal) return conclude(because(refusal, "service_unavailable", "no lease could be taken"), null);
  if (!lease) return conclude(failed("conflict", "another operation on the game is under way"), null);
  const [record, unloaded] = tried(records.get);
  const ended = record ? cleanUp(lease, record) : because(unloaded, "internal_error", "the record could not be loaded");
  const verdict = conclude(ended, record);
  tried(() => lease.release()); // It ends by its time to live if the host cannot give it back.
  return verdict;
}

function cleanUp(lease: Lease, record: RuntimeRecord): Ended {
  switch (record.status.tag) {
    case "stopped":
      break;
    case "removed":
      return alreadyRemoved;
    case "running":
      return failed("conflict", "the runtime is running; stop it first");
    default:
      return failed("internal_error", "the record has a status that this policy does not know");
  }
  const container = record.containerId;
  if (container !== null) {
    const [, refusal] = tried(() => docker.remove(lease, container));
    if (refusal) return settled(refusal, "service_unavailable", "the container was not removed");
  }
  const [, refusal] = tried(() => records.updateStatus(lease, { tag: "stopped" }, container, { tag: "removed" }));
  return refusal ? settled(refusal, "internal_error", "the record was not updated") : removed;
}

/** A call failed. If the record says `removed` now, the work was done all the same. */
function settled(failure: Failure, otherwise: string, message: string): Ended {
  if (failure.tag === "conflict" || failure.tag === "outcome-unknown") {
    const [record] = tried(records.get);
    if (record?.status.tag === "removed") return alreadyRemoved;
  }
  return because(failure, otherwise, message);
}

function because(failure: Failure, otherwise: string, message: string): Ended {
  switch (failure.tag) {
    case "not-found":
      return failed("not_found", message);
    case "conflict":
    case "lease-lost":
      return failed("conflict", message);
    case "denied":
      if (failure.val === "held") return failed("conflict", "an operator holds the game");
      if (failure.val === "owner-mismatch") return failed("conflict", "the container's labels name another owner");
      return failed(otherwise, message);
    default:
      return failed(otherwise, message);
  }
}

function failed(code: string, message: string): Ended {
  return { code, message };
}

/** The run's last word, in the log and to the caller. */
function conclude({ code, message }: Ended, record: RuntimeRecord | null): Verdict {
  const outcome: Outcome = message === null ? "success" : "failure";
  const [containerId, imageRef] = [record?.containerId ?? null, record?.imageRef ?? null];
  // The host has seen it if this fails, and logs the entry itself.
  tried(() => append({ outcome, errorCode: code, message, containerId, imageRef }));
  return { outcome, errorCode: code, message };
}

/** What a call of the host answers, or why it does not. */
function tried<Answer>(call: () => Answer): [answer: Answer, failure: null] | [answer: null, failure: Failure] {
  try {
    return [call(), null];
  } catch (thrown) {
    const failure = (thrown as { payload?: Failure }).payload;
    if (failure === undefined) throw thrown; // Not the host's, but a mistake in here.
    return [null, failure];
  }
}
