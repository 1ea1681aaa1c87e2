// Removes a stopped container; see cleanup.c.
#pragma once

#include "lifecycle_policy.h"

typedef lifecycle_policy_string_t text;
typedef galaxy_rtmanager_types_error_t error;
typedef galaxy_rtmanager_types_runtime_record_t record;

// Whether two texts are the same; the second one ends with a zero.
bool is(text given, const char *expected);
