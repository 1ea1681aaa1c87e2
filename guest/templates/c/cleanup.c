// How a stopped container is removed: lease, record, container, record, entry, lease, in this order.
//
// The host checks every step and refuses what breaks its rules, so nothing here can harm another game or a container that
// runs. Whatever happens, a run writes one entry and gives its lease back.
//
// An instance lives for one run, so what the host passes in is not freed. What is passed out is copied, since the
// generated code frees it.

#include <string.h>

#include "cleanup.h"

typedef galaxy_rtmanager_leases_borrow_lease_t lease;

// How a run ended: a code for programs, a message for people. With a message, it failed.
typedef struct {
  const char *code;
  const char *message;
} end;

static const end REMOVED = {NULL, NULL};
static const end ALREADY_REMOVED = {"replay_no_op", NULL};

bool is(text given, const char *expected) {
  return given.len == strlen(expected) && memcmp(given.ptr, expected, given.len) == 0;
}

static bool is_known_source(text source) {
  return is(source, "admin_rest") || is(source, "auto_ttl") || is(source, "cli") || is(source, "reconciler");
}

static end because(const error *why, const char *otherwise, const char *message) {
  switch (why->tag) {
    case GALAXY_RTMANAGER_TYPES_ERROR_NOT_FOUND: return (end){"not_found", message};
    case GALAXY_RTMANAGER_TYPES_ERROR_CONFLICT:
    case GALAXY_RTMANAGER_TYPES_ERROR_LEASE_LOST: return (end){"conflict", message};
    case GALAXY_RTMANAGER_TYPES_ERROR_DENIED:
      if (is(why->val.denied, "held")) return (end){"conflict", "an operator holds the game"};
      if (is(why->val.denied, "owner-mismatch")) return (end){"conflict", "the container's labels name another owner"};
      return (end){otherwise, message};
    default: return (end){otherwise, message};
  }
}

// A call failed. If the record says `removed` now, the work was done all the same.
static end settled(const error *why, const char *otherwise, const char *message) {
  bool changed = why->tag == GALAXY_RTMANAGER_TYPES_ERROR_CONFLICT || why->tag == GALAXY_RTMANAGER_TYPES_ERROR_OUTCOME_UNKNOWN;
  record now;
  error ignored;
  if (changed && galaxy_rtmanager_records_get(&now, &ignored) && now.status.tag == GALAXY_RTMANAGER_TYPES_STATUS_REMOVED)
    return ALREADY_REMOVED;
  return because(why, otherwise, message);
}

static end remove_container(lease held, record *runtime) {
  text *container = runtime->container_id.is_some ? &runtime->container_id.val : NULL;
  galaxy_rtmanager_docker_removal_t removal;
  error why;
  if (container != NULL && !galaxy_rtmanager_docker_remove(held, container, &removal, &why))
    return settled(&why, "service_unavailable", "the container was not removed");

  galaxy_rtmanager_types_status_t stopped = {.tag = GALAXY_RTMANAGER_TYPES_STATUS_STOPPED};
  galaxy_rtmanager_types_status_t removed = {.tag = GALAXY_RTMANAGER_TYPES_STATUS_REMOVED};
  if (!galaxy_rtmanager_records_update_status(held, &stopped, container, &removed, &why))
    return settled(&why, "internal_error", "the record was not updated");
  return REMOVED;
}

static end clean_up(lease held, record *runtime) {
  error why;
  if (!galaxy_rtmanager_records_get(runtime, &why)) {
    *runtime = (record){0};
    return because(&why, "internal_error", "the record could not be loaded");
  }
  switch (runtime->status.tag) {
    case GALAXY_RTMANAGER_TYPES_STATUS_STOPPED: return remove_container(held, runtime);
    case GALAXY_RTMANAGER_TYPES_STATUS_REMOVED: return ALREADY_REMOVED;
    case GALAXY_RTMANAGER_TYPES_STATUS_RUNNING: return (end){"conflict", "the runtime is running; stop it first"};
    default: return (end){"internal_error", "the record has a status that this policy does not know"};
  }
}

static lifecycle_policy_option_string_t copied(const char *literal) {
  lifecycle_policy_option_string_t copy = {.is_some = literal != NULL};
  if (literal != NULL) lifecycle_policy_string_dup(&copy.val, literal);
  return copy;
}

// The run's last word, in the log and to the caller.
static void conclude(end ended, const record *runtime, exports_galaxy_rtmanager_cleanup_verdict_t *verdict) {
  galaxy_rtmanager_types_outcome_t outcome =
      ended.message == NULL ? GALAXY_RTMANAGER_TYPES_OUTCOME_SUCCESS : GALAXY_RTMANAGER_TYPES_OUTCOME_FAILURE;
  galaxy_rtmanager_op_log_entry_t entry = {
      .outcome = outcome,
      .error_code = copied(ended.code),
      .message = copied(ended.message),
      .container_id = runtime->container_id,
      .image_ref = runtime->image_ref,
  };
  uint64_t id;
  error ignored;  // The host has seen it, and logs the entry itself.
  galaxy_rtmanager_op_log_append(&entry, &id, &ignored);
  verdict->outcome = outcome;
  verdict->error_code = copied(ended.code);
  verdict->message = copied(ended.message);
}

void exports_galaxy_rtmanager_cleanup_handle(exports_galaxy_rtmanager_cleanup_request_t *request,
                                             exports_galaxy_rtmanager_cleanup_verdict_t *verdict) {
  galaxy_rtmanager_leases_option_own_lease_t granted;
  record runtime = {0};
  error why;
  if (!is_known_source(request->op_source)) {
    conclude((end){"invalid_request", "nobody known asks for it"}, &runtime, verdict);
  } else if (!galaxy_rtmanager_leases_try_acquire(&granted, &why)) {
    conclude(because(&why, "service_unavailable", "no lease could be taken"), &runtime, verdict);
  } else if (!granted.is_some) {
    conclude((end){"conflict", "another operation on the game is under way"}, &runtime, verdict);
  } else {
    end ended = clean_up(galaxy_rtmanager_leases_borrow_lease(granted.val), &runtime);
    conclude(ended, &runtime, verdict);
    galaxy_rtmanager_leases_lease_drop_own(granted.val);  // Gives it back.
  }
}
