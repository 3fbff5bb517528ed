#!/usr/bin/env bash
# Runs main.py on every worker of a Cloud TPU VM, one process a worker.
#
#   TPU=my-tpu ZONE=us-central2-b launch/tpu_vm.sh \
#       --config=configs/adatriplet.py --workdir=/mnt/shared/ada
#
# Arguments go to main.py as they stand. The work folder must be seen by every
# worker. DIRECTORY (default: mammojax) is the clone on each worker, made once:
#
#   gcloud compute tpus tpu-vm ssh my-tpu --zone=us-central2-b --worker=all \
#       --command='git clone <this repository> mammojax && cd mammojax &&
#         python3 -m venv .venv && .venv/bin/pip install -e . "jax[tpu]"'
#
# A worker that is stopped saves and ends with exit code 75; the same command
# continues where it stopped.

set -euo pipefail

: "${TPU:?name the TPU VM: TPU=my-tpu ZONE=us-central2-b launch/tpu_vm.sh}"
: "${ZONE:?name the zone: TPU=my-tpu ZONE=us-central2-b launch/tpu_vm.sh}"

# Quoted once more, because the other side's shell reads the line again.
printf -v arguments ' %q' "$@"
printf -v directory '%q' "${DIRECTORY:-mammojax}"

exec gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all \
  --command="cd $directory && MAMMOJAX_COORDINATOR=auto exec \
.venv/bin/python main.py$arguments"
