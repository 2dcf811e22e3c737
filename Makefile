# The two commands of the README, and what developers run besides.

CARGO ?= cargo
# A file to run the demo on; by default this repository's own sources.
INPUT ?=
# Options for `make bench`.
BENCH ?=
# Where `make install` puts the C library.
PREFIX ?= /usr/local
SEEDS ?= 100000
FIRST ?= 0

.PHONY: demo test fmt clippy doc unit python sim deny install header abi bench torture planted races fuzz

# Appends a file line by line, durably, with 1,000 streams tailing it; is killed half way, recovers,
# and goes on.
demo:
	$(CARGO) run --release --quiet -p waldo-examples --bin demo -- $(if $(INPUT),"$(INPUT)")

# Everything that is checked before a change lands.
test: fmt clippy unit doc python

fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings

# Tests of every crate; those of the public API run on io_uring and on threads.
unit:
	$(CARGO) test --workspace --locked

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

# The Python package: builds the source distribution and from that the wheel, installs it into a
# fresh virtual environment, and checks and tests it there. PYTHON: another interpreter.
python:
	bindings/python/test.sh

# More seeds of the simulation: make sim SEEDS=1000000 FIRST=0
sim:
	$(CARGO) run --release --quiet -p waldo-core --features simulation --example simulate -- $(SEEDS) $(FIRST)

# Crashes, power losses, failing disks and the like on the real system, for some 25 minutes, or for
# as long as is asked for: make torture HOURS=8
torture:
	HOURS="$(HOURS)" sh tests/torture/run.sh

# Puts bugs into a copy of the sources, one at a time, and sees that a test notices each. ONLY: the
# names of some.
planted:
	tests/torture/planted/run.sh

# Fuzzes each target for a minute, with coverage and AddressSanitizer; TORTURE_SECONDS: for so long
# in all.
fuzz:
	sh tests/fuzz/run.sh

# Races, memory errors and leaks of the library: loom, AddressSanitizer, ThreadSanitizer, valgrind.
# ONLY: some of them, for example make races ONLY="thread valgrind".
races:
	ONLY="$(ONLY)" sh tests/races/run.sh

# Licences, advisories and duplicate versions of dependencies (cargo install cargo-deny).
deny:
	cargo deny check

# The benches in a few minutes, and one table. BENCH: more options, for example --dir on another
# disk, or --json. What the figures mean is in docs/performance.md.
bench:
	$(CARGO) run --release --quiet -p waldo-bench -- suite --short $(BENCH)

# The C library: header, shared and static library, pkg-config and CMake files.
install:
	sh waldo-capi/install.sh "$(PREFIX)"

# Writes include/waldo.h anew from the Rust source.
header:
	WALDO_WRITE_HEADER=1 $(CARGO) test -p waldo-capi --locked header

# Stores the description of the C ABI anew, where that breaks no program (docs/abi-stability.md).
abi:
	sh waldo-capi/abi/gate.sh write
