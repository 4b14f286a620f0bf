# The commands of the project. `make run` and `make test` are all a new machine needs.
PROFILE ?= release
BIN     := target/$(PROFILE)/narthex
SHARED  ?= ../shared
export NARTHEX_CONFORMANCE ?= $(abspath $(SHARED))/conformance

.PHONY: build run test lint conformance e2e crash sim kill faults diff-promql fuzz bench bench-uplink doc clean

build: ## the optimized binary
	cargo build --release -p narthex

run: build ## build, then start a small tree on this machine; Ctrl-C stops all of it
	$(BIN) tree --dir .narthex

test: build ## all tests; those that need peers or reference data say so and end where these are missing
	cargo test --release --workspace

lint: ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --release --workspace -- -D warnings

conformance: build ## the reference's own test data; needs SHARED
	@test -d $(SHARED)/conformance || { echo "conformance data not found at $(SHARED)/conformance"; exit 1; }
	NARTHEX_REQUIRE=conformance cargo test --release -p narthex-promql --test promqltest --test parser_conformance -- --nocapture
	NARTHEX_REQUIRE=conformance cargo test --release -p narthex-yaml -p narthex-exposition -p narthex-discovery conformance -- --nocapture
	NARTHEX_REQUIRE=conformance,peers cargo test --release -p narthex-tests --test conformance --test stack --test surface --test promql -- --nocapture

diff-promql: ## N random queries and N random regular expressions from SEED, asked of the engine and of a real Prometheus on the same data
	NARTHEX_REQUIRE=peers NARTHEX_DIFF_N=$(or $(N),5000) NARTHEX_DIFF_SEED=$(or $(SEED),1) cargo test --release -p narthex-promql --test differential -- --nocapture --test-threads 1

crash: ## power cuts at random moments of a store's life: SEEDS lives, from number FROM on
	NARTHEX_CRASH_SEEDS=$(or $(SEEDS),10000) NARTHEX_CRASH_FROM=$(or $(FROM),0) cargo test --release -p narthex-tsdb --lib power_cut -- --nocapture

sim: ## whole trees in one process, with everything that can fail: SEEDS runs, from number FROM on (docs/simulation.md)
	cargo run --release -p narthex-sim -- --seeds $(or $(SEEDS),1000) --from $(or $(FROM),0) $(SIM)

kill: build ## kill -9 of the built binary under load, KILLS times
	NARTHEX_KILLS=$(or $(KILLS),100) cargo test --release -p narthex-tests --test storage kill_9 -- --nocapture

e2e: build ## the story of docs/story.md with real peers, which must be there
	NARTHEX_REQUIRE=peers cargo test --release -p narthex-tests --test story -- --nocapture --test-threads 4

faults: build ## processes killed and links cut, beside real peers, which must be there: the table of docs/faults.md; a bit more than an hour (MINUTES, SEED of the tree; CUT_MINUTES of the pair; ROWS: only those with this in their name)
	NARTHEX_REQUIRE=peers NARTHEX_FAULTS_MINUTES=$(or $(MINUTES),30) NARTHEX_FAULTS_SEED=$(or $(SEED),1) NARTHEX_FAULTS_CUT_MINUTES=$(or $(CUT_MINUTES),60) NARTHEX_FAULTS_ONLY="$(ROWS)" cargo test --release -p narthex-tests --test faults -- --ignored --nocapture

# What libFuzzer needs of a stable compiler: counters of edges, comparisons, and a build that build scripts do not share.
FUZZ_FLAGS := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
	-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing
FUZZ_HOST := x86_64-unknown-linux-gnu

fuzz: ## libFuzzer on one target of fuzz/targets for SECONDS (needs a C++ compiler); without T the property tests that feed arbitrary bytes, N cases each
ifdef T
	cd fuzz && RUSTFLAGS="$(FUZZ_FLAGS)" cargo build --release --target $(FUZZ_HOST) --bin $(T) --features $(T)
	fuzz/seeds.py $(T) fuzz/corpus/$(T) && mkdir -p fuzz/artifacts/$(T)
	fuzz/target/$(FUZZ_HOST)/release/$(T) -max_total_time=$(or $(SECONDS),60) -max_len=$(or $(MAX_LEN),4096) -timeout=10 -rss_limit_mb=2048 \
		$(addprefix -dict=,$(wildcard fuzz/dict/$(T).dict)) -artifact_prefix=fuzz/artifacts/$(T)/ -print_final_stats=1 fuzz/corpus/$(T)
else
	PROPTEST_CASES=$(or $(N),20000) cargo test --release --workspace --lib -- never_panic arbitrary damaged
endif

bench: build ## criterion benchmarks of the pieces; with SHARED also a small load against the peers
	cargo bench -p narthex-promql -p narthex-tsdb -p narthex-wal -p narthex-remote
	@test ! -d $(SHARED)/bench || NARTHEX=$(abspath $(BIN)) $(SHARED)/bench/run.py load --kinds narthex,prom,vm --series 20000 --steps 240 --tag small

bench-uplink: build ## what an uplink carries and costs between two processes, beside real Prometheus; and a catch-up after an hour
	NARTHEX_REQUIRE=peers cargo test --release -p narthex-tests --test uplink_speed -- --ignored --nocapture --test-threads 1

doc: ## rustdoc of all crates
	cargo doc --workspace --no-deps

clean:
	cargo clean
	rm -rf .narthex
