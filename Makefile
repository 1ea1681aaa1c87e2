.PHONY: demo test soak bench kill-table lint

# Builds, and cleans up a dozen containers before your eyes; in memory where there is no Docker Engine.
demo:
	@tests/prerequisites.sh build
	cargo build -p rtmanager
	@tests/with-engine.sh target/debug/rtmanager demo

# Everything, with the real backends.
test:
	@tests/prerequisites.sh test
	cargo test --workspace

# Kills hosts at random moments, a thousand times where `make test` does so a hundred times; takes about seven minutes.
# `make soak KILLS=150` kills fewer.
KILLS ?= 1000
soak:
	@tests/prerequisites.sh test
	RTMANAGER_SOAK_KILLS=$(KILLS) cargo test -p rtmanager-tests --test fleet hosts_that_are_killed -- --nocapture

# Cost of a run, of a sweep, and of size, and what a tenant keeps beside one that does harm; takes about twenty minutes, ten of them since it builds with optimisation.
# Less of it: RTMANAGER_BENCH_CONTAINERS=120 (sweep), RTMANAGER_BENCH_CLEANUPS=100, RTMANAGER_BENCH_ROUNDS=1,
# RTMANAGER_BENCH_ROWS=100000, RTMANAGER_BENCH_PARTS='walk trips' (scale); the rounds are of isolation, too, and
# RTMANAGER_BENCH_ATTACKS='giant-log exit'.
bench:
	@tests/prerequisites.sh test
	cargo bench -p rtmanager-tests

# Plants bugs in hosts, backends and policies, and writes down which of them the simulation finds.
kill-table:
	cargo run -p rtmanager-tests --bin kill_table -- tests/docs/kill-table.md

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
