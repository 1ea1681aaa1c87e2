// What is said when the policy throws: it has no standard error, so the error and its stack go to the platform's log.

import { log } from "wasi:logging/logging@0.1.0-draft";

/** Logs what is thrown, line by line, before it ends the run. */
export function told<Given, Answer>(asked: (given: Given) => Answer): (given: Given) => Answer {
  return (given) => {
    try {
      return asked(given);
    } catch (problem) {
      const text = problem instanceof Error ? `${problem}\n${problem.stack ?? ""}` : JSON.stringify(problem);
      for (const line of text.trimEnd().split("\n")) log("critical", "exception", line);
      throw problem;
    }
  };
}
