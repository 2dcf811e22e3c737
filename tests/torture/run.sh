#!/bin/sh
# Runs every class of faults that `tests/torture/classes` lists, and prints what came of it.
#
#   tests/torture/run.sh                    about 25 minutes
#   HOURS=8 tests/torture/run.sh            8 hours
#   ONLY="kill power" SEED=7 tests/torture/run.sh
#
# Each class is a command. It gets the time that it may take in TORTURE_SECONDS and a seed in
# TORTURE_SEED, prints one or more rows
#
#   | fault class | cases | faults injected | violations |
#
# and ends with a failure where there were violations. All that it says is kept in target/torture.
set -u
cd "$(dirname "$0")/../.."

minutes=${MINUTES:-25}
[ -n "${HOURS:-}" ] && minutes=$((HOURS * 60))
export TORTURE_SEED="${SEED:-1}"
logs="${CARGO_TARGET_DIR:-target}/torture"
mkdir -p "$logs"
rows="$logs/table.md"

classes() {
    grep -v -e '^#' -e '^$' tests/torture/classes
}

is_wanted() {
    [ -z "${ONLY:-}" ] && return 0
    for name in $ONLY; do [ "$name" = "$1" ] && return 0; done
    return 1
}

shares=0
while read -r name share _; do
    is_wanted "$name" && shares=$((shares + share))
done <<EOF
$(classes)
EOF
[ "$shares" -gt 0 ] || { echo "no class of the name ${ONLY:-}" >&2; exit 2; }

failed=0
printf '| fault class | cases run | faults injected | violations |\n|---|---:|---:|---:|\n' >"$rows"
started=$(date +%s)
while read -r name share command <&3; do
    is_wanted "$name" || continue
    export TORTURE_SECONDS=$((minutes * 60 * share / shares))
    echo "== $name: up to $TORTURE_SECONDS seconds"
    log="$logs/$name.log"
    sh -c "$command" >"$log" 2>&1
    code=$?
    grep '^| ' "$log" >>"$rows"
    grep -v '^| ' "$log" | tail -n 20
    if [ "$code" != 0 ]; then
        failed=1
        grep -q '^| ' "$log" || echo "| $name: failed, see $log | 0 | 0 | 1 |" >>"$rows"
        echo "== $name FAILED; all that it said is in $log"
    fi
done 3<<EOF
$(classes)
EOF
echo
echo "$(($(date +%s) - started)) seconds, seed $TORTURE_SEED"
cat "$rows"
exit $failed
