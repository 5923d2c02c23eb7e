#!/usr/bin/env bash
# The architecture: see layers.py.
source "$(dirname "$0")/lib.sh"
python3 .ci/layers.py
