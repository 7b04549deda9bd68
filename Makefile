# What can be made here; `make help` lists it. Cargo builds, this puts the pieces together.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Cargo's target directory may be shared with other trees; what is made here is this tree's, and stays in ./target.
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
WORK := $(CURDIR)/target

# What goes into the packages. Each can be named otherwise, to package what was built elsewhere.
BINARY ?= $(TARGET)/release/runtime-agent
MANUAL ?= $(WORK)/manual
CONFIG ?= etc/agent.toml

# Where the packages go, and what is added to their version: two packages of one binary make an upgrade to test.
DIST ?= $(CURDIR)/dist
VERSION_SUFFIX ?=

##@ Making

# Where the sources lie on this machine is in none of the binaries, so that one commit makes the same bytes anywhere.
CARGO_SOURCES = $(or $(CARGO_HOME),$(HOME)/.cargo)
OWN_TARGET = $(abspath $(TARGET))
remapped = $(CARGO_SOURCES)=/usr/src/cargo $(CURDIR)=/usr/src/runtime-agent $(OWN_TARGET)=/usr/src/target

# Nor is the time of the build, but that of the last commit, unless another is said.
commit_time = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null || date +%s))

release = SOURCE_DATE_EPOCH="$(commit_time)" \
	RUSTFLAGS="$(strip $(RUSTFLAGS) $(addprefix --remap-path-prefix=,$(remapped)))" \
	CFLAGS="$(strip $(CFLAGS) $(addprefix -ffile-prefix-map=,$(remapped)))" \
		cargo build --locked --release

.PHONY: build
build: ## Build the release binary
	$(release) --package runtime-agent

.PHONY: manual
manual: ## Write the manual pages and the completions from the command line's own definition
	cargo run --locked --quiet --package manual -- $(MANUAL)

.PHONY: packages
packages: build manual ## Build one .deb and one .rpm into dist/
	$(package)

# The packages of what has been built already, and of the same with a higher version.
package = BINARY="$(abspath $(BINARY))" MANUAL="$(abspath $(MANUAL))" CONFIG="$(abspath $(CONFIG))" \
	DIST="$(abspath $(DIST))" WORK="$(WORK)/packaging" VERSION_SUFFIX="$(VERSION_SUFFIX)" packaging/build.sh

.PHONY: reproducible
reproducible: ## Build the packages of the last commit twice, from nothing, and compare them (ten minutes)
	packaging/reproducible.sh "$(WORK)/reproducible"

.PHONY: package-prebuilt
package-prebuilt: # The same without building; BINARY, MANUAL and CONFIG say what to package
	$(package)

##@ Installing

# Names are those of the GNU coding standards. Units have to name the binary by its whole path.
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
SYSCONFDIR ?= /etc
DATADIR ?= $(PREFIX)/share
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
CATALOGDIR ?= $(PREFIX)/lib/systemd/catalog
MANDIR ?= $(DATADIR)/man
BASHDIR ?= $(DATADIR)/bash-completion/completions
ZSHDIR ?= $(DATADIR)/zsh/site-functions
FISHDIR ?= $(DATADIR)/fish/vendor_completions.d
DOCDIR ?= $(DATADIR)/doc/runtime-agent
# Empty where the distribution ships the text of the licence already.
LICENSEDIR ?= $(DOCDIR)

conf := $(SYSCONFDIR)/runtime-agent

# What units name by its whole path, as it lies here.
placed = -e 's|/usr/bin/runtime-agent|$(BINDIR)/runtime-agent|' -e 's|/usr/lib/tmpfiles\.d|$(TMPFILESDIR)|'

.PHONY: install
install: ## Install what was built, below DESTDIR and PREFIX (/usr/local); keeps a changed configuration
	@test -x "$(BINARY)" || { echo "make install: there is no $(BINARY). Run 'make build' first." >&2; exit 1; }
	@test -d "$(MANUAL)" || { echo "make install: there is no $(MANUAL). Run 'make manual' first." >&2; exit 1; }
	install -D -m 0755 "$(BINARY)" "$(DESTDIR)$(BINDIR)/runtime-agent"
	install -d "$(DESTDIR)$(UNITDIR)"
	for unit in systemd/*.service systemd/*.socket; do \
		plain="$${unit##*/}"; instance="$${plain%.*}@.$${plain##*.}"; \
		sed $(placed) "$$unit" >"$(DESTDIR)$(UNITDIR)/$$plain"; \
		sed -f systemd/instance.sed "$$unit" | sed $(placed) >"$(DESTDIR)$(UNITDIR)/$$instance"; \
		chmod 0644 "$(DESTDIR)$(UNITDIR)/$$plain" "$(DESTDIR)$(UNITDIR)/$$instance"; \
	done
	install -D -m 0644 systemd/runtime-agent.sysusers "$(DESTDIR)$(SYSUSERSDIR)/runtime-agent.conf"
	install -D -m 0644 systemd/runtime-agent.tmpfiles "$(DESTDIR)$(TMPFILESDIR)/runtime-agent.conf"
	install -D -m 0644 systemd/runtime-agent.catalog "$(DESTDIR)$(CATALOGDIR)/runtime-agent.catalog"
	install -d "$(DESTDIR)$(conf)/agent.d" "$(DESTDIR)$(conf)/hooks.d" "$(DESTDIR)$(conf)/templates"
	test -e "$(DESTDIR)$(conf)/agent.toml" || install -m 0644 "$(CONFIG)" "$(DESTDIR)$(conf)/agent.toml"
	for page in "$(MANUAL)"/man/*.[1-9]; do \
		install -D -m 0644 "$$page" "$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}"; \
	done
	install -D -m 0644 "$(MANUAL)/completions/runtime-agent.bash" "$(DESTDIR)$(BASHDIR)/runtime-agent"
	install -D -m 0644 "$(MANUAL)/completions/_runtime-agent" "$(DESTDIR)$(ZSHDIR)/_runtime-agent"
	install -D -m 0644 "$(MANUAL)/completions/runtime-agent.fish" "$(DESTDIR)$(FISHDIR)/runtime-agent.fish"
	install -D -m 0644 -t "$(DESTDIR)$(DOCDIR)" README.md
	for file in $$(cd etc && find broker examples monitoring provisioning -type f); do \
		install -D -m 0644 "etc/$$file" "$(DESTDIR)$(DOCDIR)/$$file"; \
	done
	$(if $(LICENSEDIR),install -D -m 0644 -t "$(DESTDIR)$(LICENSEDIR)" LICENSE)
	@echo "Installed. On the host itself, go on with: systemd-sysusers; systemd-tmpfiles --create runtime-agent.conf;" \
		"journalctl --update-catalog; systemctl daemon-reload; systemctl enable --now runtime-agent-apply.socket runtime-agent.service"

##@ Testing

.PHONY: test
test: ## Everything: formatting, lints, unit, integration, package and system tests; the last line is the sum
	@.ci/test

.PHONY: check
check: ## Formatting and lints
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package runtime-agent --test system --features system-tests -- -D warnings

.PHONY: unit
unit: ## Unit and integration tests, for which no privilege is needed
	cargo test --locked --workspace --no-fail-fast

# What to fuzz, how long each, and into which folder to build: another compiler, so another one than everything else's.
FUZZED = $(patsubst tests/fuzz/fuzz_targets/%.rs,%,$(wildcard tests/fuzz/fuzz_targets/*.rs))
FUZZ_SECONDS ?= 60
FUZZ_TARGET ?= $(TARGET)/fuzz

.PHONY: fuzz
fuzz: ## Fuzz all that takes foreign bytes, or ONLY=token, for FUZZ_SECONDS=60 each (needs nightly Rust and cargo-fuzz)
	for fuzzed in $(or $(ONLY),$(FUZZED)); do \
		cargo +nightly fuzz run --fuzz-dir tests/fuzz --sanitizer none --target-dir "$(abspath $(FUZZ_TARGET))" "$$fuzzed" -- \
			-max_total_time=$(FUZZ_SECONDS) -dict="tests/fuzz/$$fuzzed.dict" -max_len=65536 -timeout=10; \
	done

# How long each family of faults goes on, and what all that is chosen is chosen by: another run, another choice.
SECONDS ?= 120
FAULTS_SEED = $(or $(SEED),$(shell date +%s))

.PHONY: faults
faults: ## Break everything around the agent, for SECONDS=120 each family, or ONLY=plane; SEED=n repeats a run, CASE=… a case of it
	cargo test --locked --package runtime-agent --test faults --no-run
	@mkdir -p "$(WORK)"; rm -f "$(WORK)/faults.jsonl"; ended=0; \
	FAULTS_RESULTS="$(WORK)/faults.jsonl" FAULTS_SECONDS="$(SECONDS)" FAULTS_SEED="$(FAULTS_SEED)" FAULTS_ONLY="$(ONLY)" \
	FAULTS_CASE="$(CASE)" cargo test --locked --quiet --package runtime-agent --test faults -- --test-threads=1 --nocapture \
		|| ended=$$?; \
	tests/faults/table.py "$(WORK)/faults.jsonl" "$(WORK)/faults.json"; exit $$ended

# What the tester of the broker's HTTP is, and where it is put.
CONTRACT_PYTHON ?= $(WORK)/contract-python

$(CONTRACT_PYTHON)/installed: tests/broker/requirements.txt
	rm -rf "$(CONTRACT_PYTHON)"
	python3 -m venv "$(CONTRACT_PYTHON)" \
		|| { echo "make contract: needs Python with venv; on Debian, 'make deps' as root installs it." >&2; exit 1; }
	timeout 600 "$(CONTRACT_PYTHON)/bin/pip" install --quiet --disable-pip-version-check -r $< \
		|| { echo "make contract: schemathesis cannot be had from the Python package index, and without it the" \
			"broker's HTTP is not tested. Mend the way to it (PIP_INDEX_URL names another), and try again." >&2; exit 1; }
	touch "$@"

.PHONY: contract
contract: $(CONTRACT_PYTHON)/installed ## Hold the broker's HTTP to its description, with schemathesis (needs Python; SEED=n repeats a run)
	cargo build --locked --package runtime-agent --package plane
	@tests/broker/contract.sh "$(abspath $(TARGET)/debug)" "$(CONTRACT_PYTHON)"

.PHONY: same-packages
same-packages: # The packages in dist/ made again from the same binary, which must give the same bytes
	$(MAKE) --no-print-directory package-prebuilt DIST="$(WORK)/again" >"$(WORK)/again.log" 2>&1 \
		|| { cat "$(WORK)/again.log" >&2; exit 1; }
	diff --recursive --brief "$(DIST)" "$(WORK)/again"
	@echo "same-packages: made again, the packages are the same, byte by byte."

.PHONY: inspect
inspect: ## Look over the packages in dist/ with lintian and rpm
	packaging/inspect.sh "$(DIST)"

.PHONY: system
system: packages ## System tests: the packages on a really booted systemd (as root)
	@$(MAKE) --no-print-directory system-prebuilt

.PHONY: system-prebuilt
system-prebuilt: # The same with the packages that are in dist/
	@mkdir -p "$(WORK)"; { cat "$(CONFIG)"; echo '# A later version says this.'; } >"$(WORK)/upgrade.toml"
	@$(MAKE) --no-print-directory package-prebuilt DIST="$(WORK)/upgrade" VERSION_SUFFIX=+next \
		CONFIG="$(WORK)/upgrade.toml" >"$(WORK)/upgrade.log" 2>&1 \
		|| { cat "$(WORK)/upgrade.log" >&2; exit 1; }
	rootfs=$$(tests/system/rootfs.sh); \
	RUNTIME_AGENT_ROOTFS="$$rootfs" RUNTIME_AGENT_PACKAGES="$(abspath $(DIST))" RUNTIME_AGENT_UPGRADE="$(WORK)/upgrade" \
		cargo test --locked --package runtime-agent --features system-tests --test system $(if $(ONLY),-- $(ONLY))

.PHONY: bench
bench: build ## Measure the release binary beside curl, jq and mv (half an hour; QUICK=1 takes three minutes)
	$(release) --package plane
	@$(MAKE) --no-print-directory bench-prebuilt

.PHONY: bench-prebuilt
bench-prebuilt: # The same without building; BINARY says what to measure, ONLY a part of it
	tests/bench/bench.py --agent "$(BINARY)" --plane "$(TARGET)/release/plane" --dist "$(DIST)" \
		--out "$(WORK)/bench.json" $(if $(QUICK),--quick) $(if $(RECORD),--record) $(addprefix --only ,$(ONLY))

.PHONY: demo
demo: ## Show the agent at work, against a management plane of its own; KEEP=1 leaves it running
	cargo build --locked --package runtime-agent --package plane
	@tests/demo.sh "$(abspath $(TARGET)/debug)"

.PHONY: deps
deps: ## Install what the tests need and is missing (Debian, as root)
	.ci/deps

##@ Other

.PHONY: clean
clean: ## Remove what was made here
	cargo clean
	rm -rf "$(WORK)" dist

.PHONY: help
help: ## Show this
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile
