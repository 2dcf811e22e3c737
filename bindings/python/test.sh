#!/usr/bin/env bash
# Builds the source distribution, a wheel from that, installs it into a fresh virtual environment,
# and checks and tests it there.
#
#   PYTHON=python3.12 bindings/python/test.sh [arguments of pytest]
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python is older than Python 3.11" >&2
    exit 1
fi

echo "== virtual environment"
"$python" -m venv "$work/venv"
export PATH="$work/venv/bin:$PATH" VIRTUAL_ENV="$work/venv"
export PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH PYTHONHOME
pip install --quiet --requirement requirements-test.txt

echo "== source distribution and wheel"
maturin sdist --quiet --out "$work/sdist"
tar --extract --gzip --directory "$work" --file "$work"/sdist/waldo_log-*.tar.gz
# Dependencies are built once for all runs.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
(cd "$work"/waldo_log-*/ && maturin build --quiet --release --locked --out "$work/wheel")
pip install --quiet --no-index --find-links "$work/wheel" waldo-log

echo "== style and types"
ruff check .
ruff format --check --quiet .
mypy python tests
# Checked as it is installed, and away from the sources.
(cd "$work" && MYPYPATH='' stubtest waldo && basedpyright --pythonpath "$work/venv/bin/python" --project "$root/bindings/python")

echo "== tests"
(cd tests && pytest --override-ini "cache_dir=$work/cache" --basetemp "$work/tests" "$@")
