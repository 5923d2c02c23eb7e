# Sourced by every script: the same surroundings whoever calls, and the notes of what was missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export HOME=${HOME:-/root}
export PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 RUST_BACKTRACE=1
export NOTES=${NOTES:-/dev/null}

target=${CARGO_TARGET_DIR:-$PWD/target}
host=$(rustc -vV | sed -n 's/^host: //p')

# note TEXT: says that something was missing or skipped; `run` repeats it in its last lines.
note() {
    echo "note: $*"
    echo "$*" >>"$NOTES"
}

# has_nightly [COMPONENT...]: whether there is a nightly toolchain with these, added if need be.
has_nightly() {
    local component
    rustc +nightly -V >/dev/null 2>&1 || return 1
    for component; do
        component_present "$component" \
            || rustup component add --toolchain nightly "$component" >/dev/null 2>&1 \
            || return 1
    done
}

component_present() {
    rustup component list --toolchain nightly --installed 2>/dev/null | grep "^$1" >/dev/null
}

# has_package NAME: whether the workspace has a package of this name.
has_package() {
    cargo metadata --no-deps --format-version 1 | grep -q "\"name\":\"$1\",\"version\""
}

# bounded SECONDS COMMAND...: ends the command after so long, or at CI_ENDS (in seconds since 1970) if
# that is sooner, which is noted and no failure, unless a test had failed until then. CI_PATIENCE=20
# gives all of them that many times as long: what one machine does not come to, another does.
bounded() {
    local seconds=$(($1 * ${CI_PATIENCE:-1})) code=0 left log
    left=$((${CI_ENDS:-EPOCHSECONDS + seconds} - EPOCHSECONDS))
    shift
    if ((left < 5)); then
        note "$(basename "$0" .sh): no time was left for: $*"
        return 0
    fi
    ((left >= seconds)) || seconds=$left
    log=$(mktemp)
    timeout "$seconds" "$@" 2>&1 | tee "$log" || code=${PIPESTATUS[0]}
    if ((code == 124)); then
        if grep -E "(^|[.]{3} )FAILED$" "$log" >/dev/null; then
            echo "the time was up before the failed test could say more: $*"
            return 1
        fi
        note "$(basename "$0" .sh): not finished in $seconds s, so not all of it was seen: $*"
        code=0
    fi
    rm -f "$log"
    return "$code"
}
