#!/usr/bin/env bash
# Builds the source distribution, a wheel from that, installs it into a fresh virtual environment,
# and checks and tests it there.
#
#   PYTHON=python3.12 bindings/python/test.sh [arguments of pytest]
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Nothing can be tested without an interpreter and what is on PyPI. That is said, and no error.
leave_out() {
    echo "== LEFT OUT: the Python package was not tested: $*"
    exit 0
}

for python in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
    python=
done
[ -n "$python" ] || leave_out "there is no Python 3.11 or later"

# Shows what a command wrote only where it failed.
quietly() {
    "$@" >"$work/output" 2>&1 || { cat "$work/output" >&2; exit 1; }
}

echo "== virtual environment, $("$python" --version)"
"$python" -m venv "$work/venv" || leave_out "$python cannot make virtual environments"
export PATH="$work/venv/bin:$PATH" VIRTUAL_ENV="$work/venv"
export PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH PYTHONHOME
pip install --quiet --requirement requirements-test.txt || leave_out "pip cannot install the tools"

echo "== source distribution and wheel"
quietly maturin sdist --out "$work/sdist"
tar --extract --gzip --directory "$work" --file "$work"/sdist/waldo_log-*.tar.gz
# Dependencies are built once for all runs.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
cd "$work"/waldo_log-*/
# Not --locked: the lock file also names crates that the distribution does not have.
quietly maturin build --release --out "$work/wheel"
cd "$root/bindings/python"
pip install --quiet --no-index --find-links "$work/wheel" waldo-log

echo "== style and types"
ruff check .
ruff format --check --quiet .
mypy python tests benches
# Checked as it is installed, and away from the sources.
(cd "$work" && MYPYPATH='' stubtest --allowlist "$root/bindings/python/stubtest-allowlist.txt" waldo && basedpyright --pythonpath "$work/venv/bin/python" --project "$root/bindings/python")

echo "== tests"
(cd tests && pytest --override-ini "cache_dir=$work/cache" --basetemp "$work/tests" "$@")
