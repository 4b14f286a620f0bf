# The commands of the project. `make run` and `make test` are all a new machine needs.
PROFILE ?= release
BIN     := target/$(PROFILE)/narthex
SHARED  ?= ../shared
export NARTHEX_CONFORMANCE ?= $(SHARED)/conformance

.PHONY: build run test lint conformance e2e faults fuzz bench doc clean

build: ## the optimized binary
	cargo build --release -p narthex

run: build ## build, then start a small tree on this machine; Ctrl-C stops all of it
	$(BIN) tree --dir .narthex

test: ## unit tests of all crates and the end-to-end tests that need no peers; others are skipped with a reason
	cargo test --release --workspace --all-targets

lint: ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --release --workspace -- -D warnings

conformance: ## the reference's own test data; needs SHARED
	@test -d $(SHARED)/conformance || { echo "conformance data not found at $(SHARED)/conformance"; exit 1; }
	NARTHEX_REQUIRE=conformance cargo test --release -p narthex-promql -p narthex-exposition -p narthex-tests --tests -- conformance --nocapture

e2e: build ## the story of docs/story.md with real peers, which must be there
	NARTHEX_REQUIRE=peers cargo test --release -p narthex-tests --tests -- --nocapture --test-threads 2

fuzz: ## every fuzz target for a short time; needs nothing but the stable toolchain
	cargo test --release --workspace -- fuzz --nocapture

bench: build ## against the peers; needs SHARED
	NARTHEX=$(abspath $(BIN)) $(SHARED)/bench/run.py load --kinds narthex,prom,vm --series 20000 --steps 240 --tag small

doc: ## rustdoc of all crates
	cargo doc --workspace --no-deps

clean:
	cargo clean
	rm -rf .narthex
