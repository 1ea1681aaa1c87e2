// {{name}}: keeps the containers of some images for longer than others.
//
// | setting      | value                                                | effect                                         |
// |--------------|------------------------------------------------------|------------------------------------------------|
// | `image_days` | `IMAGE=DAYS,...`, as `postgres=30,ghcr.io/acme/=14`  | a container whose image begins so is kept this |
// |              |                                                      | long after it stopped; the longest one counts  |
//
// A policy answers two questions. *When* is a stopped container due? That is `review`, in this file: change it to your
// liking. *How* is it removed? That is in `cleanup.c`, which can stay as it is.
//
// What all the types and functions mean stands in `wit/`.

#include <string.h>

#include "cleanup.h"

#define MICROS_PER_DAY UINT64_C(86400000000)
#define MOST_DAYS 36500

typedef exports_galaxy_rtmanager_retention_candidate_t candidate;
typedef exports_galaxy_rtmanager_retention_advice_t advice;

// Takes what stands before the first `separator`, or all of it, off the front of `rest`.
static text cut(text *rest, char separator) {
  text part = {rest->ptr, 0};
  while (part.len < rest->len && rest->ptr[part.len] != separator) part.len++;
  size_t taken = part.len < rest->len ? part.len + 1 : part.len;
  rest->ptr += taken;
  rest->len -= taken;
  return part;
}

// Whole days; false if the text is anything else.
static bool days_of(text digits, uint64_t *days) {
  *days = 0;
  if (digits.len == 0) return false;
  for (size_t i = 0; i < digits.len; i++) {
    if (digits.ptr[i] < '0' || digits.ptr[i] > '9') return false;
    *days = *days * 10 + (digits.ptr[i] - '0');
    if (*days > MOST_DAYS) return false;
  }
  return true;
}

static bool begins_with(text whole, text beginning) {
  return whole.len >= beginning.len && memcmp(whole.ptr, beginning.ptr, beginning.len) == 0;
}

// How long the rules keep an image; false if they are not to be understood.
static bool days_for(text rules, text image, uint64_t *days) {
  size_t longest = 0;
  *days = 0;
  while (rules.len > 0) {
    text rest = cut(&rules, ',');
    text beginning = cut(&rest, '=');
    uint64_t given;
    if (beginning.len == 0 || !days_of(rest, &given)) return false;
    if (beginning.len >= longest && begins_with(image, beginning)) {
      longest = beginning.len;
      *days = given;
    }
  }
  return true;
}

// Removing cannot be undone, so what is unclear is kept. People see the reason.
static void keep(advice *answer, const char *reason) {
  answer->tag = EXPORTS_GALAXY_RTMANAGER_RETENTION_ADVICE_KEEP;
  lifecycle_policy_string_dup(&answer->val.keep, reason);
}

// Is it due? The platform's own retention is over already: a policy can only keep longer.
void exports_galaxy_rtmanager_retention_review(candidate *asked, advice *answer) {
  text name;
  lifecycle_policy_string_set(&name, "image_days");
  lifecycle_policy_option_string_t rules;
  wasi_config_store_error_t unreadable;
  if (!wasi_config_store_get(&name, &rules, &unreadable)) {
    keep(answer, "the settings cannot be read");
    return;
  }
  uint64_t days = 0;
  text image = asked->runtime.image_ref.is_some ? asked->runtime.image_ref.val : (text){0};
  if (rules.is_some && !days_for(rules.val, image, &days)) {
    keep(answer, "image_days is not IMAGE=DAYS,..., such as postgres=30");
    return;
  }
  uint64_t stopped_at = asked->runtime.stopped_at.is_some ? asked->runtime.stopped_at.val : asked->floor_passed_at;
  uint64_t due_at = stopped_at + days * MICROS_PER_DAY;
  if (due_at > galaxy_rtmanager_clock_now()) {
    answer->tag = EXPORTS_GALAXY_RTMANAGER_RETENTION_ADVICE_WAIT_UNTIL;
    answer->val.wait_until = due_at;
  } else {
    answer->tag = EXPORTS_GALAXY_RTMANAGER_RETENTION_ADVICE_DUE;
  }
}
