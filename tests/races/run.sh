#!/bin/sh
# Looks for races, memory errors and leaks of the library itself, with what finds them in Rust:
#
#   loom       goes through interleavings, in the files named `races.rs`
#   address    AddressSanitizer and its search for leaks, over the Rust tests of the core and the C ABI
#   thread     ThreadSanitizer, with a standard library that is built with it, too
#   valgrind   over a part of the tests, on the backend of threads
#
#   tests/races/run.sh                           all of them
#   ONLY="thread valgrind" tests/races/run.sh
#   TORTURE_SECONDS=600 tests/races/run.sh       as far as they come in ten minutes
#
# The first run builds everything anew for each of them, and says what it left out and why.
# All that they say is kept in target/races.
set -u
cd "$(dirname "$0")/../.."

work="${CARGO_TARGET_DIR:-target}/races"
mkdir -p "$work"
work=$(cd "$work" && pwd)
triple=$(rustc -vV | sed -n 's/^host: //p')
started=$(date +%s)
failed=0

# Seconds that are left.
left() {
    echo $((${TORTURE_SECONDS:-86400} - $(date +%s) + started))
}

is_wanted() {
    [ -z "${ONLY:-}" ] && return 0
    for name in $ONLY; do [ "$name" = "$1" ] && return 0; done
    return 1
}

skip() {
    echo "$1: left out, $2"
    echo "| races, $1: left out, $2 | 0 | 0 | 0 |"
}

# check NAME REPORTS COMMAND...: runs tests with a command of Cargo's. REPORTS is what a report of
# the checker begins with. A run that the time cuts short counts as far as it came.
check() {
    name=$1 reports=$2 log="$work/$1.log"
    shift 2
    seconds=$(left)
    if [ "$seconds" -lt 10 ]; then
        skip "$name" "no time"
        return
    fi
    echo "$name: $*"
    CARGO_TARGET_DIR="$work/${name%-*}" timeout "$seconds" env "$@" >"$log" 2>&1
    code=$?
    passed=$(sed -n 's/^test result: .* \([0-9]*\) passed.*/\1/p' "$log" |
        awk '{ sum += $1 } END { print sum + 0 }')
    found=$(grep -c -e "$reports" "$log")
    broken=$(grep -c -e '^test .* FAILED$' "$log")
    bad=$((found + broken))
    label="$name"
    if [ "$code" = 124 ]; then
        label="$name, cut short by the time"
    elif [ "$bad" = 0 ] && { [ "$code" != 0 ] || [ "$passed" = 0 ]; }; then
        bad=1
    fi
    if [ "$bad" != 0 ]; then
        failed=1
        echo "$name FAILED; see $log"
        grep -m 20 -e "$reports" -e '^test .* FAILED$' -e '^error' "$log"
    fi
    echo "| races, $label (tests) | $passed | 0 | $bad |"
}

check_loom() {
    check loom '^never a report$' RUSTFLAGS="--cfg waldo_loom --cfg oneshot_loom" \
        cargo test --locked --no-fail-fast --release -p waldo-core -p waldo-capi --lib races
}

# Sanitizers are behind a flag that a stable compiler keeps locked. Of the C ABI only what looks
# inside: its C programs are not linked with the sanitizer's library, and run under valgrind.
check_address() {
    check address-core '^==[0-9]*==ERROR: ' RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" \
        ASAN_OPTIONS="detect_leaks=1" WALDO_SEEDS=1000 \
        cargo test --locked --no-fail-fast --target "$triple" -p waldo-core --lib --tests \
        -- --skip every_flipped_bit
    check address-capi '^==[0-9]*==ERROR: ' RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" \
        ASAN_OPTIONS="detect_leaks=1" \
        cargo test --locked --no-fail-fast --target "$triple" -p waldo-capi --lib
}

# Nothing is suppressed. The channel's fences would be taken for races; see
# waldo-core/src/sync/oneshot.rs. What is skipped computes for minutes, and shares nothing.
check_thread() {
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library" ] &&
        ! rustup component add rust-src >"$work/thread.log" 2>&1; then
        skip thread "no source of the standard library: rustup component add rust-src"
        return
    fi
    check thread '^WARNING: ThreadSanitizer' RUSTC_BOOTSTRAP=1 \
        RUSTFLAGS="-Zsanitizer=thread --cfg waldo_tsan" TSAN_OPTIONS="die_after_fork=0" \
        cargo test --locked --no-fail-fast -Zbuild-std --target "$triple" \
        -p waldo-core --lib --tests -- --skip no_seed_loses --skip every_flipped_bit
}

# It stops every thread while one waits for io_uring. In a forked child it calls a leak what only
# other threads of the parent knew of.
check_valgrind() {
    if ! command -v valgrind >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get install -y -qq --no-install-recommends valgrind libc6-dbg >/dev/null 2>&1
    fi
    if ! command -v valgrind >/dev/null; then
        skip valgrind "it is not installed"
        return
    fi
    runner="CARGO_TARGET_$(echo "$triple" | tr 'a-z-' 'A-Z_')_RUNNER"
    check valgrind '^==[0-9]*== [A-Z]' "$runner=valgrind --quiet --error-exitcode=9 \
--fair-sched=yes --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite \
--child-silent-after-fork=yes" \
        cargo test --locked --no-fail-fast -p waldo-core --test backpressure --test basics \
        --test lifetime --test manage --test memory --test sinks --test streams --test submitting \
        -- --skip io_uring --skip a_forked_child
}

for name in loom address thread valgrind; do
    is_wanted "$name" && "check_$name"
done
exit $failed
