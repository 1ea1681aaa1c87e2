// Package problems says what goes wrong: a policy has no standard error, so a panic goes to the platform's log.
package problems

import (
	"fmt"
	"runtime/debug"
	"strings"

	log "policy/bindings/wasi_logging_logging"
)

// Told is deferred by what the host calls. It logs a panic with its stack before that ends the run.
func Told() {
	panicked := recover()
	if panicked == nil {
		return
	}
	log.Log(log.LevelCritical, "panic", fmt.Sprint(panicked))
	for _, line := range strings.Split(strings.TrimSpace(string(debug.Stack())), "\n") {
		log.Log(log.LevelCritical, "panic", line)
	}
	panic(panicked)
}
