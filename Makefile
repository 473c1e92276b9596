# What people type. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# The compiler checks our SQL against .sqlx and not against a database, whatever DATABASE_URL is set to.
export SQLX_OFFLINE ?= true
# The programs that tools/build made come before those of the system.
export PATH := $(CURDIR)/tools/.bin:$(PATH)

say = @printf '\n==> %s\n' "$(1)"

.PHONY: help tools demo test test-all test-crash bench-preview bench-sync bench-server bench-signature check format lint dependencies sql-check documents scripts containers pages sql

help:
	@echo 'make tools   build or find the real programs: etcd, Kubernetes, kwok, Gitea, helm, kustomize, PostgreSQL'
	@echo 'make demo    run the whole story on them; ARGS="--help" shows its flags'
	@echo 'make test    every test, on the same programs'
	@echo 'make test-all  the same, and every story on every forge'
	@echo 'make test-crash  two workers, 500 deaths: ROUNDS and SEED change that'
	@echo 'make bench-preview  what a preview costs beside kubectl, kustomize, helm and git; ARGS="--help" shows its flags'
	@echo 'make bench-sync     what a sync costs beside kubectl and what Flux and Argo CD ask; ARGS="--help" shows its flags'
	@echo 'make bench-server   memory, drift and restarts of a whole server, beside a reflector; ARGS="--help" shows its flags'
	@echo 'make bench-signature  whether the time of a signature check tells anything (Welch)'
	@echo 'make check   format, lints, dependencies, SQL, documents, scripts'
	@echo 'make pages   looks at the pages in a real browser (chromium), with axe: after a change of them'
	@echo 'make sql     write .sqlx anew, after a query or a migration changed'

tools:
	$(call say,real programs: tools/build)
	@tools/build

demo: tools
	$(call say,building the server and the demo)
	@cargo build --bins --example demo
	$(call say,the story)
	@cargo run --quiet --example demo -- $(ARGS)

# Tests wait for databases, clusters and each other's processes: one more at a time than there are cores keeps them busy.
export RUST_TEST_THREADS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))

test: tools
	$(call say,every test$(comma) $(RUST_TEST_THREADS) at a time)
	@cargo test --all-targets

test-all: export BASCULE_EVERY_STORY = 1
test-all: test

ROUNDS ?= 500
test-crash: export BASCULE_CRASH_ROUNDS = $(ROUNDS)
test-crash: export BASCULE_CRASH_SEED = $(SEED)
test-crash: tools
	$(call say,$(ROUNDS) deployments$(comma) each with a worker that dies or stands still)
	@cargo test --test it -- --nocapture sync::crash sync::kills

bench-preview: tools
	$(call say,what a preview costs$(comma) beside others)
	@cargo bench --features bench --bench preview -- $(ARGS)

bench-sync: tools
	$(call say,what a sync costs$(comma) beside others)
	@cargo bench --features bench --bench sync -- $(ARGS)

bench-server: tools
	$(call say,what a whole server costs$(comma) and how soon it knows)
	@cargo bench --features bench --bench server -- $(ARGS)

bench-signature:
	$(call say,whether the time of a signature check tells anything)
	@cargo bench --features bench --bench signature

check: format lint dependencies sql-check documents scripts containers
	$(call say,all checks passed)

format:
	$(call say,format: cargo fmt)
	@cargo fmt --check

lint:
	$(call say,lints: clippy)
	@cargo clippy --all-targets -- -D warnings

dependencies:
	$(call say,licences$(comma) sources and bans of our dependencies: cargo deny)
	@scripts/dependencies-check

sql-check:
	$(call say,.sqlx is of our queries and migrations)
	@scripts/sql-check

documents:
	$(call say,documents: rustdoc)
	@# Whoever reads them reads the source, so a link to something private is good.
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --no-deps --document-private-items --quiet

scripts:
	$(call say,scripts: shellcheck)
	@if command -v shellcheck >/dev/null; then
	  shellcheck .ci/run tools/build tools/system tools/fetch scripts/*
	else
	  echo 'shellcheck is not installed: skipped'
	fi

containers:
	$(call say,Dockerfile and docker-compose.yml)
	@scripts/containers-check

pages:
	$(call say,pages$(comma) in a real browser)
	@scripts/pages-check

sql:
	$(call say,writing .sqlx)
	@scripts/sql-prepare

comma := ,
