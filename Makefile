.PHONY: demo test bench lint

# Builds, and cleans up a dozen containers before your eyes; in memory where there is no Docker Engine.
demo:
	@tests/prerequisites.sh build
	cargo build -p rtmanager
	@tests/with-engine.sh target/debug/rtmanager demo

# Everything, with the real backends.
test:
	@tests/prerequisites.sh test
	cargo test --workspace

# Cost of a run and of a sweep; takes about ten minutes, since it builds with optimisation.
bench:
	@tests/prerequisites.sh test
	cargo bench -p rtmanager-tests

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
