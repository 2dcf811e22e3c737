#!/bin/sh
# Puts bugs into a copy of the sources, one at a time, and sees whether a test notices.
#
#   tests/torture/planted/run.sh                 all of them: about half an hour
#   ONLY="no-lock readers-spin" tests/torture/planted/run.sh
#
# Each patch in this folder is one bug. Its first lines say what the bug is and which command is to
# notice it. The command must succeed without the bug, must still build with it, and must then fail,
# or not end in time. All that was said is kept in target/planted.
set -u
cd "$(dirname "$0")/../../.."

patches=$PWD/tests/torture/planted
# Longer than any of these tests takes: a test that hangs is one that noticed.
minutes=${MINUTES:-5}
scratch=$(mkdir -p "${CARGO_TARGET_DIR:-target}/planted" && cd "${CARGO_TARGET_DIR:-target}/planted" && pwd)
sources=$scratch/sources
logs=$scratch/logs
export CARGO_TARGET_DIR="$scratch/target"
# Most of the time goes into building.
export CARGO_INCREMENTAL=1 CARGO_PROFILE_TEST_DEBUG=0

rm -rf "$sources" "$logs"
mkdir -p "$sources" "$logs"
tar -c --exclude=./target --exclude=./.git --exclude=node_modules . | tar -x -C "$sources"
cd "$sources" || exit 1

is_wanted() {
    [ -z "${ONLY:-}" ] && return 0
    for name in $ONLY; do [ "$name" = "$1" ] && return 0; done
    return 1
}

story() {
    sed -n '/^# caught by: /q; s/^# //p' "$1" | tr '\n' ' ' | sed 's/ $//'
}

command_of() {
    sed -n 's/^# caught by: //p' "$1"
}

# Whether a command says, with the sources as they are, that all is well. Once for each command.
is_well() {
    key=$(printf '%s' "$1" | cksum | cut -d' ' -f1)
    if [ ! -e "$logs/$key.well" ]; then
        if $1 --no-run >"$logs/$key.log" 2>&1 &&
            timeout "$((2 * minutes * 60))" $1 >>"$logs/$key.log" 2>&1 &&
            grep -q '^test .* ok$' "$logs/$key.log"; then
            echo yes
        else
            echo no
        fi >"$logs/$key.well"
    fi
    [ "$(cat "$logs/$key.well")" = yes ]
}

# What comes of a command with the bug in.
try() {
    $1 --no-run >"$2" 2>&1 || { echo "**does not build**"; return; }
    timeout --kill-after=10 "$((minutes * 60))" $1 >>"$2" 2>&1
    case $? in
    0) echo "**NOT CAUGHT**" ;;
    124 | 137) echo "caught: nothing happens any more" ;;
    *) echo "caught" ;;
    esac
}

failed=0
count=0
printf '| bug | noticed by | |\n|---|---|---|\n'
for bug in "$patches"/*.patch; do
    name=$(basename "$bug" .patch)
    is_wanted "$name" || continue
    count=$((count + 1))
    command=$(command_of "$bug")
    if [ -z "$command" ]; then
        found="**names no command**"
    elif ! is_well "$command"; then
        found="**fails without the bug, too**"
    elif ! patch -p1 -s --dry-run <"$bug" >"$logs/$name.log" 2>&1; then
        found="**patch no longer applies**"
    else
        patch -p1 -s --no-backup-if-mismatch <"$bug"
        found=$(try "$command" "$logs/$name.log")
        patch -p1 -s -R --no-backup-if-mismatch <"$bug"
    fi
    case $found in caught*) ;; *) failed=1 ;; esac
    printf '| %s | `%s` | %s |\n' "$(story "$bug")" "${command#cargo test -p waldo-core }" "$found"
done
[ "$count" -gt 0 ] || { echo "no bug of the name ${ONLY:-}" >&2; exit 2; }
echo
echo "$count bugs; what the tests said is in $logs"
exit $failed
