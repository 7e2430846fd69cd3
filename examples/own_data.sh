#!/usr/bin/env bash
# From an index of your own images to a bundle that reads: train, export, judge, read a pair.
# Without INDEX, phantoms are drawn to try it on. In an environment with mammosono[train]:
#   examples/own_data.sh FOLDER [INDEX SOURCE]
set -euo pipefail
out=$1
index=${2:-} source=${3:-phantom}
epochs=${EPOCHS:-2} size=${SIZE:-640x448}

if [ -z "$index" ]; then
  mammosono-tools phantoms --out "$out/phantoms"
  index=$out/phantoms/index.csv
fi
mammosono-tools train --data "$index" --source "$source" --epochs "$epochs" --size "$size" --out "$out/run"
mammosono-tools export --run "$out/run" --out "$out/bundle" --data "$index" --source "$source"
mammosono-tools evaluate --bundle "$out/bundle" --data "$index" --source "$source" --out "$out/figures"
mammosono-tools report "$out/figures" --data "$index" --run "$out/run" --out "$out/report.html"
mammosono demo --bundle "$out/bundle" --out "$out/demo"
