#!/usr/bin/env bash
# Measures pgjobs in turn with its strongest peer and the bare loop, on one server, and what one test costs.
#   make bench                                     everything, three rounds
#   ROUNDS=1 benchmarks/bench.sh                   fewer
# The peers' harness is the folder that PEERS names (default ../shared/bench); without it only our own tests
# are measured. Needs Debian's postgresql for the server (or BENCH_PGBIN). Machines are noisy: quote medians
# and ratios of one run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON_BENCH:-$(command -v python)}
peers=${PEERS:-$here/../../shared/bench}
rounds=${ROUNDS:-3}

echo "== one test"
"$python" "$here/bench_testing.py"

if [[ ! -x $peers/bench ]]; then
  echo "== no peers: $peers/bench is not there, so the live node is not measured"
  exit 0
fi
own() { PYTHONPATH="$here/..:$here" "$peers/bench" own "$python" "$here/bench_pgjobs.py" "$@"; }
"$peers/bench" start || true
echo "== 50,000 no-op jobs in one process, in turn"
for _ in $(seq "$rounds"); do
  own process
  own process --opt worker=limited --opt events=1
  own process --opt worker=sync
  "$peers/bench" peer pgqueuer process
  "$peers/bench" skeleton 200
done
"$peers/bench" stop
