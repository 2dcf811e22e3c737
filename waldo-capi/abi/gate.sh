#!/bin/sh
# Compares the C ABI with its stored description, libwaldo-VERSION.abi, by libabigail.
#
#     waldo-capi/abi/gate.sh check [HEADER]     0: the same, 1: broken, 2: grown
#     waldo-capi/abi/gate.sh write              stores the description anew, where that may be
#
# What is described is what a C compiler makes of the header: a library with its functions, without
# what they do. The debug information of the real one would have Rust's types in it instead. That
# both are the same is for other tests: docs/abi-stability.md lists them.
set -eu

own=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$own")")
version=$(sed -n 's/^const ABI_VERSION: u32 = \([0-9]*\);/\1/p' "$root/waldo-capi/src/version.rs")
stored=$own/libwaldo-$version.abi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Functions that do nothing, with the header's own declarations.
describe() {
    mkdir "$work/include"
    cp "$1" "$work/include/waldo.h"
    {
        echo '#include <waldo.h>'
        awk '
            /^extern "C" {/ { inside = 1; getline; next }
            /^#ifdef __cplusplus/ && inside { exit }
            inside && !/^ *\/?\*/ { sub(/\);$/, ") { __builtin_trap(); }"); print }
        ' "$1"
    } > "$work/functions.c"
    # Enumerations are of no function's type, and kept nevertheless. No path of this machine is.
    # Compilers describe what is only declared differently, so it is always the same one.
    (
        cd "$work"
        gcc -std=gnu11 -g -fno-eliminate-unused-debug-types -shared -fPIC \
            -Iinclude -o libwaldo.so functions.c
        abidw --load-all-types --no-show-locs --no-comp-dir-path --no-corpus-path \
            libwaldo.so > found.abi
    )
}

compare() {
    abidiff --no-architecture --non-reachable-types "$@" "$stored" "$work/found.abi"
}

check() {
    if [ ! -f "$stored" ]; then
        echo "ABI $version has no description yet: make abi stores one" >&2
        return 2
    fi
    if ! compare --no-added-syms --suppressions "$own/growth.suppr" >&2; then
        echo "programs that were built for ABI $version break: see docs/abi-stability.md" >&2
        return 1
    fi
    if ! compare --harmless >&2; then
        echo "ABI $version has grown: make abi stores its description anew" >&2
        return 2
    fi
}

case ${1:-} in
    check)
        describe "${2:-$root/include/waldo.h}"
        check
        ;;
    write)
        describe "$root/include/waldo.h"
        result=0
        check || result=$?
        [ "$result" != 1 ] || exit 1
        cp "$work/found.abi" "$stored"
        ;;
    *)
        echo "usage: gate.sh check [HEADER] | write" >&2
        exit 64
        ;;
esac
