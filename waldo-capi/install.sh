#!/bin/sh
# Installs headers, libraries, waldo.pc and WaldoConfig.cmake below a prefix.
#
#     waldo-capi/install.sh PREFIX
#
# DESTDIR is put before every path that is written. WALDO_ARCHIVE names a libwaldo.a that was
# built already; without it, one is built in release mode. CC, LD, AR, OBJCOPY, CARGO: the tools.
set -eu

prefix=${1:?usage: install.sh PREFIX}
own=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$own")
to=${DESTDIR:-}$prefix
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
abi=$(sed -n 's/^const ABI_VERSION: u32 = \([0-9]*\);/\1/p' "$own/src/version.rs")
system="-lgcc_s -lutil -lrt -lpthread -lm -ldl"

archive=${WALDO_ARCHIVE:-}
if [ -z "$archive" ]; then
    ${CARGO:-cargo} build --manifest-path "$root/Cargo.toml" --package waldo-capi --release --locked
    archive=${CARGO_TARGET_DIR:-$root/target}/release/libwaldo.a
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One object with everything that the listed symbols need, and no other symbol to be seen: a
# program may have another Rust library beside this one. Section groups are dissolved: of two with
# the same name a linker keeps one, and the symbols of this one are hidden.
undefined=$(sed 's/^/--undefined=/' "$own/symbols.txt")
# shellcheck disable=SC2086
${LD:-ld} -r --gc-sections --force-group-allocation $undefined -o "$work/all.o" "$archive"
# Bitcode of several objects in one means nothing to anybody, and makes plugins of ar fail. What
# nothing refers to goes: weak references of dropped code would be left as strong ones.
${OBJCOPY:-objcopy} --keep-global-symbols="$own/symbols.txt" \
    --strip-unneeded --remove-section=.llvmbc --remove-section=.llvmcmd "$work/all.o" "$work/waldo.o"
${AR:-ar} rcs "$work/libwaldo.a" "$work/waldo.o"

# Its threads may run when a program unloads it, so it stays (nodelete).
{
    printf 'WALDO_0.1 {\nglobal:\n'
    sed 's/$/;/' "$own/symbols.txt"
    printf 'local: *;\n};\n'
} > "$work/waldo.map"
# shellcheck disable=SC2086
${CC:-cc} -shared -o "$work/libwaldo.so" "$work/waldo.o" -Wl,--gc-sections \
    -Wl,--version-script="$work/waldo.map" -Wl,-soname,"libwaldo.so.$abi" \
    -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now -Wl,--as-needed -Wl,--no-undefined $system

install -d "$to/include" "$to/lib/pkgconfig" "$to/lib/cmake/Waldo"
for header in "$root"/include/waldo.h "$root"/include/waldo.hpp; do
    if [ -f "$header" ]; then install -m 644 "$header" "$to/include/"; fi
done
install -m 755 "$work/libwaldo.so" "$to/lib/libwaldo.so.$version"
ln -sf "libwaldo.so.$version" "$to/lib/libwaldo.so.$abi"
ln -sf "libwaldo.so.$abi" "$to/lib/libwaldo.so"
install -m 644 "$work/libwaldo.a" "$to/lib/libwaldo.a"
sed "s/@VERSION@/$version/; s/@SYSTEM@/$system/" "$own/waldo.pc.in" > "$work/waldo.pc"
install -m 644 "$work/waldo.pc" "$to/lib/pkgconfig/"
for file in WaldoConfig.cmake WaldoConfigVersion.cmake; do
    sed "s/@VERSION@/$version/; s/@ABI@/$abi/" "$own/$file.in" > "$work/$file"
    install -m 644 "$work/$file" "$to/lib/cmake/Waldo/"
done
echo "installed Waldo $version below $to"
