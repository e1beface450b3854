# Everything a developer does here. `make` alone lists the targets.

CARGO ?= cargo
TALLYMARK := $(or $(CARGO_TARGET_DIR),target)/debug/tallymark

.DEFAULT_GOAL := help
.PHONY: help setup build test test-clients lint demo serve bench bench-query fuzz torture generate clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup:
	@sh scripts/setup.sh

build: setup ## Build the service, unoptimised
	$(CARGO) build --locked

test: build ## Run every test of the service, on a database that is started for it
	@sh scripts/with-database.sh $(CARGO) test --locked

test-clients: build ## Run the generated clients' tests against a live service (needs Go, Node, Python)
	@sh scripts/test-clients.sh

lint: setup ## Check formatting, lints, licences, container files and what is in the repository
	$(CARGO) fmt --check
	@sh scripts/check-tree.sh
	@sh scripts/check-packaging.sh
	@sh scripts/check-dependencies.sh
	$(CARGO) clippy --locked --all-targets -- -D warnings

demo: build ## Show what it does: a made-up day of traffic in, three answers out
	@TALLYMARK_LOG=warn,tallymark::app=error,tallymark::store::embedded::install=info $(TALLYMARK) demo
	@sh scripts/next-steps.sh

serve: build ## Run a service to try things on, without keys, on 127.0.0.1:50051
	$(TALLYMARK) serve --unauthenticated

bench: setup ## Measure ingestion, and print ratios (several minutes)
	@sh scripts/bench.sh

bench-query: setup ## Time questions beside DuckDB and plain SQL, and print ratios (BENCH_QUERY_EVENTS, 10 million)
	@sh scripts/bench-query.sh

fuzz: setup ## Fuzz the durable log for FUZZ_SECONDS, 60 unless set
	@sh scripts/fuzz.sh

torture: build ## Kill the service and its database TALLYMARK_TORTURE_KILLS times under load, 500 unless set
	@CARGO="$(CARGO)" sh scripts/torture.sh

generate: ## Generate the clients' code again, after a change of proto/
	clients/generate.sh

clean: ## Remove what was built
	$(CARGO) clean
