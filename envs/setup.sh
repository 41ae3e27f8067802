#!/bin/sh
# Make or refresh the environment:  envs/setup.sh FOLDER [LOCK ...]
# Every package but torch comes from a lock with hashes. torch's build depends on the machine, so it is
# installed by version.
set -eu

folder=$1
shift
python=${PYTHON:-python3}
torch=${TORCH:-torch==2.13.0}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "error: $python is not Python 3.11 or newer; name one: make PYTHON=python3.12" >&2
    exit 1
fi
if ! [ -x "$folder/bin/pip" ]; then
    "$python" -m venv "$folder" || {
        echo "error: $python cannot make a virtual environment; on Debian or Ubuntu install python3-venv" >&2
        exit 1
    }
fi
pip="$folder/bin/python -m pip --disable-pip-version-check"

for lock in "$@"; do
    echo "installing $lock"
    $pip install --quiet --require-hashes -r "$lock"
done

installed=$($pip show torch 2>/dev/null | sed -n 's/^Version: //p')
[ "torch==${installed%%+*}" = "${torch%%+*}" ] && exit 0
case "$(uname -s)-$(uname -m)" in
Linux-x86_64)
    # a machine without an Nvidia GPU has no use for gigabytes of CUDA libraries
    if ! command -v nvidia-smi >/dev/null && [ -z "${TORCH:-}" ]; then
        echo "installing $torch+cpu (no Nvidia GPU found)"
        $pip install --quiet "$torch+cpu" 2>/dev/null && exit 0
        echo "no CPU build of torch is offered to pip here, so the CUDA build follows: several GB." >&2
        echo "To avoid it, give pip the index of CPU builds that pytorch.org names, and run make again." >&2
    fi
    ;;
esac
echo "installing $torch"
$pip install --quiet "$torch"
