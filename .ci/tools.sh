#!/usr/bin/env bash
# Installs what the other scripts use and this machine lacks. What cannot be had is named, and the
# steps that need it say so again.
source "$(dirname "$0")/lib.sh"

wanted=()
command -v redis-server >/dev/null || wanted+=(redis-server)
command -v redis-cli >/dev/null || wanted+=(redis-tools)
command -v valgrind >/dev/null || wanted+=(valgrind)
command -v strace >/dev/null || wanted+=(strace)
command -v chromium >/dev/null || wanted+=(chromium)
command -v nginx >/dev/null || wanted+=(nginx-light)
# Of two peers of the benchmarks.
command -v cmake >/dev/null || wanted+=(cmake)
command -v c++ >/dev/null || wanted+=(g++)
python3 -c "import venv, ensurepip" 2>/dev/null || wanted+=(python3-venv)
if ((${#wanted[@]})); then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null 2>&1 </dev/null || note "apt-get has no fresh lists"
    # One by one, so that one that cannot be had does not keep the others out.
    for package in "${wanted[@]}"; do
        apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 </dev/null \
            || note "apt-get could not install $package: tests that drive it skip"
    done
fi

# redis-py in an environment of its own, where the tests look for it.
if ! "$target/redis-py/bin/python" -c "import redis" 2>/dev/null; then
    { python3 -m venv "$target/redis-py" && "$target/redis-py/bin/pip" install -q redis; } >/dev/null 2>&1 \
        || note "redis-py could not be installed: the tests that drive it skip"
fi

for component in rustfmt clippy; do
    cargo "${component#rust}" --version >/dev/null 2>&1 || rustup component add "$component" \
        || note "no $component on the stable toolchain"
done
rustc +nightly -V >/dev/null 2>&1 || note "no nightly toolchain: platforms, fuzz, miri, asan and tsan skip"
for component in miri rust-src llvm-tools; do
    has_nightly "$component" || note "nightly has no $component, and it could not be added"
done

if ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install --locked cargo-fuzz >/dev/null 2>&1 || note "cargo-fuzz could not be installed"
fi
rustc -V
rustc +nightly -V 2>/dev/null || true
