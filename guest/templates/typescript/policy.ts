// {{name}}: a label keeps a container, for good or until a day.
//
// | setting      | value                                   | effect                                                   |
// |--------------|-----------------------------------------|----------------------------------------------------------|
// | `keep_label` | a label's name; `keep` if it is not set | a runtime with that label is kept: `true` for good,      |
// |              |                                         | `false` not at all, `2027-01-31` until that day (UTC)    |
//
// A policy answers two questions. *When* is a stopped container due? That is `review`, in this file: change it to your
// liking. *How* is it removed? That is `handle`, in `cleanup.ts`: it can stay as it is.
//
// What all the types and functions mean stands in `wit/`.

import { now } from "galaxy:rtmanager/clock@0.1.0";
import type { Advice, Candidate } from "galaxy:rtmanager/retention@0.1.0";
import { get as setting } from "wasi:config/store@0.2.0-rc.1";

import { handle } from "./cleanup.js";
import { told } from "./problems.js";

// The names by which the host finds what a policy exports.
export const cleanup = { handle: told(handle) };
export const retention = { review: told(review) };

/** Is it due? The platform's own retention is over already: a policy can only keep longer. */
function review(candidate: Candidate): Advice {
  const name = settingOr("keep_label", "keep");
  if (name === null) return { tag: "keep", val: "the settings cannot be read" };
  const label = candidate.runtime.labels.find(([label]) => label === name);
  if (label === undefined || label[1] === "false") return { tag: "due" };
  if (label[1] === "true") return { tag: "keep", val: `label ${name} keeps it` };
  const until = beginningOf(label[1]);
  if (until === null) {
    // Removing cannot be undone, so what is unclear is kept. People see the reason.
    return { tag: "keep", val: `label ${name} is "${label[1]}", not true, false or a day such as 2027-01-31` };
  }
  return until > now() ? { tag: "wait-until", val: until } : { tag: "due" };
}

/** When a day begins, in microseconds since 1970; null if there is no such day. */
function beginningOf(day: string): number | null {
  if (!/^\d{4}-\d\d-\d\d$/.test(day)) return null;
  const begins = new Date(`${day}T00:00:00Z`);
  const exists = !Number.isNaN(begins.getTime()) && begins.toISOString().startsWith(day);
  return exists && begins.getTime() >= 0 ? begins.getTime() * 1000 : null;
}

/** What the tenant's binding sets; null if that cannot be read. */
function settingOr(name: string, otherwise: string): string | null {
  try {
    return setting(name) ?? otherwise;
  } catch {
    return null;
  }
}
