#!/usr/bin/env bash
# Installs libwaldo into a prefix of its own, and has languages carry out the conformance scripts and
# the programs of examples/ on it.
#
#     tests/conformance/run.sh [c|cpp|python|node|go]...
#
# A language whose tools are missing is skipped, and that is said. WALDO_ARCHIVE names a libwaldo.a
# that was built already. WALDO_CACHE names a folder where koffi is kept once it was fetched; without
# it, that is done each time.
set -euo pipefail

own=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$own")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
cache=${WALDO_CACHE:-$work/cache}
mkdir -p "$cache"

scripts=("$own"/*.txt)
steps=$(cat "${scripts[@]}" | grep -c '^[^#]')

fail() {
    echo "$language: $*" >&2
    exit 1
}

skip() {
    echo "skipped: $language: $*"
}

has() {
    command -v "$1" >/dev/null
}

# Runs a command in an empty folder.
afresh() {
    rm -rf "$work/empty"
    mkdir "$work/empty"
    (cd "$work/empty" && exec timeout 120 "$@")
}

# Every step counts; a script in which the last one is wrong must be found out, just there.
check_runner() {
    local counted wrong line status
    counted=$(afresh "$@" "${scripts[@]}") || fail "a script failed"
    [ "$counted" = "$steps" ] || fail "$counted steps were carried out, not $steps"
    for wrong in "$own"/wrong/*.txt; do
        line=$(grep -c '' "$wrong")
        status=0
        afresh "$@" "$wrong" >/dev/null 2>"$work/complaint" || status=$?
        [ "$status" = 1 ] || fail "$wrong: the runner ended with $status, not 1"
        grep -qF "$wrong:$line: " "$work/complaint" || fail "$wrong: $(cat "$work/complaint")"
    done
    echo "$language: $counted steps"
}

# A program must read back what is in the file that it appended.
check_program() {
    local input sum size lines printed
    printf '' > "$work/input-1-empty"
    printf 'one\n\ntwo \xff\x00\r\nthe last one has no end' > "$work/input-2-odd"
    seq -f 'line %g of a file that is longer than what is under way at a time' 20000 \
        > "$work/input-3-long"
    for input in "$work"/input-*; do
        sum=$(sha256sum < "$input" | cut -d ' ' -f 1)
        size=$(wc -c < "$input")
        lines=$(grep -ac '' "$input" || true)
        printed=$(afresh "$@" store "$input") || fail "the program failed"
        grep -qxF "tailed $lines lines, $size bytes, SHA-256 $sum" <<< "$printed" ||
            fail "the program read $lines lines with sum $sum as: $printed"
    done
    echo "$language: ${printed//$'\n'/; }"
}

run_c() {
    local -a flags=(-I"$prefix/include" -L"$prefix/lib" -lwaldo -lpthread)
    ${CC:-cc} -std=gnu11 -Wall -Wextra -Wpedantic -Wconversion -Werror -O1 -o "$work/c" \
        "$own"/runners/c/*.c "${flags[@]}"
    check_runner "$work/c"
}

run_cpp() {
    local -a flags=(-I"$prefix/include" -L"$prefix/lib" -lwaldo -lpthread)
    has "${CXX:-c++}" || { skip "there is no C++ compiler"; return; }
    ${CXX:-c++} -std=c++17 -Wall -Wextra -Wpedantic -Wconversion -Werror -o "$work/cpp" \
        "$own"/runners/cpp/*.cpp "${flags[@]}"
    check_runner "$work/cpp"
}

run_python() {
    has python3 || { skip "there is no python3"; return; }
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        { skip "python3 is older than 3.11"; return; }
    export PYTHONDONTWRITEBYTECODE=1
    check_runner python3 -X dev -W error "$own/runners/ctypes/runner.py"
    check_program python3 -X dev -W error "$root/examples/ctypes/lines.py"
}

# Copies the sources beside koffi, which is installed as the lock file says.
run_node() {
    local from=$root/examples/node modules=$cache/node tree=$work/tree
    if ! has node || ! has npm; then
        skip "there is no node or no npm"
        return
    fi
    node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' ||
        { skip "node is older than 18"; return; }
    if ! cmp -s "$from/package-lock.json" "$modules/installed"; then
        mkdir -p "$modules"
        cp "$from/package.json" "$from/package-lock.json" "$from/.npmrc" "$modules"
        if ! (cd "$modules" && npm ci --cache "$work/npm" >"$work/npm.log" 2>&1); then
            grep -qE 'ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|E50[0-9]' "$work/npm.log" ||
                fail "npm ci: $(cat "$work/npm.log")"
            skip "koffi cannot be fetched"
            return
        fi
        cp "$from/package-lock.json" "$modules/installed"
    fi
    mkdir -p "$tree/examples" "$tree/tests/conformance"
    cp -r "$from" "$tree/examples/node"
    rm -rf "$tree/examples/node/node_modules"
    ln -s "$modules/node_modules" "$tree/examples/node/node_modules"
    cp -r "$own/runners" "$tree/tests/conformance/runners"
    check_runner node "$tree/tests/conformance/runners/node/runner.mjs"
    check_program node "$tree/examples/node/lines.js"
}

run_go() {
    if ! has go || ! has pkg-config; then
        skip "there is no go or no pkg-config"
        return
    fi
    export GOCACHE=$work/go-build GOPATH=$work/go GOFLAGS=-mod=readonly GOPROXY=off
    local unformatted
    unformatted=$(gofmt -l "$root/examples/go" "$own/runners/go")
    [ -z "$unformatted" ] || fail "not as gofmt has it: $unformatted"
    (cd "$own/runners/go" && go build -o "$work/go-runner" .)
    (cd "$root/examples/go" && go vet ./... && go build -o "$work/go-lines" .)
    # C must be given no pointer to memory that Go may move.
    export GODEBUG=cgocheck=2
    check_runner "$work/go-runner"
    check_program "$work/go-lines"
}

# Each function of the ABI is a verb, and some script uses it.
check_coverage() {
    local symbol
    while read -r symbol; do
        grep -qE "^${symbol#waldo_}( |$)" "${scripts[@]}" || fail "no script calls $symbol"
    done < "$root/waldo-capi/symbols.txt"
}

language=scripts
check_coverage
sh "$root/waldo-capi/install.sh" "$prefix" >/dev/null
export LD_LIBRARY_PATH=$prefix/lib PKG_CONFIG_PATH=$prefix/lib/pkgconfig
[ $# -gt 0 ] || set -- c cpp python node go
for language in "$@"; do
    case $language in
        c | cpp | python | node | go) "run_$language" ;;
        *) fail "is no language that is known here" ;;
    esac
done
