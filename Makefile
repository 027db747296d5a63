# Ringwall. `make try` shows it at work, `make test` tests it.
SHELL := /bin/bash
GO ?= go
GOARCH ?= $(shell $(GO) env GOARCH)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)
PKG := github.com/ringwall/ringwall
LDFLAGS := -s -w -X $(PKG)/internal/version.Version=$(VERSION) -X $(PKG)/internal/version.Commit=$(COMMIT)
export CGO_ENABLED := 0

BLOB := internal/guest/blob/guest-linux-$(GOARCH)

.PHONY: help try test build guest bench vm-test fuzz lint dist clean

help: ## list what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

try: build ## build, run an agent's session on a small project, show the result
	@./examples/try/try.sh bin/ringwall

test: build ## all tests, as the user you are (as root: more of them)
	$(GO) vet ./...
	$(GO) test -count=1 ./...

build: guest ## build bin/ringwall
	$(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/ringwall ./cmd/ringwall

guest: ## build the program that runs inside, which ringwall embeds
	GOOS=linux GOARCH=$(GOARCH) $(GO) build -trimpath -buildvcs=false -ldflags '-s -w' -o $(BLOB) ./cmd/ringwall-guest
	@sha256sum $(BLOB) | cut -d' ' -f1 > $(BLOB).sha256

bench: build ## compare the start of a sandbox with bubblewrap's, side by side
	$(GO) run ./bench -ringwall bin/ringwall $(BENCHFLAGS)

vm-test: ## the suite on Debian with systemd and cgroup v2, in a virtual machine
	@./contrib/vmtest/run.sh

FUZZTIME ?= 20s
fuzz: ## each fuzz target for FUZZTIME
	@./contrib/fuzz.sh $(FUZZTIME)

lint: ## formatting, vet on both architectures, generated files
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	GOARCH=amd64 $(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...

dist: ## static archives for both architectures, with man pages, completions and checksums
	./contrib/dist.sh '$(VERSION)' '$(COMMIT)'

clean: ## remove what was built
	rm -rf bin dist internal/guest/blob/guest-linux-amd64 internal/guest/blob/guest-linux-arm64 internal/guest/blob/*.sha256
