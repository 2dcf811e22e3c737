#!/bin/sh
# Fuzzes every target, each for its share of the time, under AddressSanitizer.
#
#   tests/fuzz/run.sh                          each target for a minute
#   TORTURE_SECONDS=7200 tests/fuzz/run.sh     two hours in all
#   ONLY="store frame" tests/fuzz/run.sh
#
# What is found is kept below target/fuzz: in `corpus` inputs that reached something new, from which
# the next run goes on, and in `found` inputs that fail. Run one again with
#
#   target/fuzz/x86_64-unknown-linux-gnu/release/TARGET FILE
#
# Inputs in `open` fail still; docs/reliability.md says how. They are no seeds.
#
# Needs a C++ compiler, for libFuzzer.
set -u
cd "$(dirname "$0")"

all="page_header frame record seal options recovery store simulation"
targets=${ONLY:-$all}
work="${CARGO_TARGET_DIR:-../../target}/fuzz"
mkdir -p "$work"
work=$(cd "$work" && pwd)
triple=$(rustc -vV | sed -n 's/^host: //p')

if ! command -v c++ >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get install -y -qq --no-install-recommends g++ >/dev/null
    fi
    command -v c++ >/dev/null || { echo "no C++ compiler: install g++" >&2; exit 2; }
fi

started=$(date +%s)
# Coverage and sanitizers are behind flags that a stable compiler keeps locked.
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Zsanitizer=address -Ccodegen-units=1 \
-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
CARGO_TARGET_DIR="$work" cargo build --release --locked --quiet --target "$triple" || exit 2

count=0
for target in $targets; do count=$((count + 1)); done
seconds=60
if [ -n "${TORTURE_SECONDS:-}" ]; then
    # The build has taken its part of the time.
    seconds=$(((TORTURE_SECONDS - $(date +%s) + started) / count))
    [ "$seconds" -gt 5 ] || seconds=5
fi

# Leaks are not looked for, at the end neither: a thread that was joined gives back the last of its
# memory a moment later, and looks like one.
export ASAN_OPTIONS=detect_leaks=0
failed=0
for target in $targets; do
    corpus="$work/corpus/$target"
    found="$work/found/$target"
    log="$work/$target.log"
    mkdir -p "$corpus" "$found"
    case $target in
    store) size=4096 ;;
    simulation) size=8192 ;;
    *) size=2048 ;;
    esac
    "$work/$triple/release/$target" -seed="${TORTURE_SEED:-0}" -max_total_time="$seconds" \
        -max_len="$size" -timeout=60 -detect_leaks=0 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="$found/" "$corpus" "seeds/$target" >"$log" 2>&1
    code=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    new=$(sed -n 's/^stat::new_units_added: *//p' "$log")
    covered=$(sed -n 's/.*cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
    bad=0
    if [ "$code" != 0 ]; then
        bad=1
        failed=1
        echo "$target FAILED; see $log"
        grep -m 3 -e 'panicked at' -e 'ERROR:' -e 'Test unit written' "$log"
    fi
    echo "$target: ${seconds} s, ${runs:-0} executions, ${new:-0} new inputs, ${covered:-0} edges"
    echo "| fuzz $target (bytes, under AddressSanitizer) | ${runs:-0} | ${runs:-0} | $bad |"
done
exit $failed
