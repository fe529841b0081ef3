# shellcheck shell=bash
# What scripts/test and scripts/demo have in common; sourced by both. Expects $root, the repository, and $0.
# Runs apt-get, dpkg-query, python3 -m venv, pip.

venv=${SNAPMIRROR_VENV:-$root/.venv}

# Go on as root: as it is, or by sudo. Without root and sudo it fails rather than skip.
as_root() {
    [ "$(id --user)" -ne 0 ] || return 0
    command -v sudo >/dev/null || { echo "$0: needs root, or sudo" >&2; exit 2; }
    local keep=SNAPMIRROR_CI,SNAPMIRROR_VENV,SNAPMIRROR_DEMO_DIR,HTTP_PROXY,HTTPS_PROXY,http_proxy,https_proxy,PIP_INDEX_URL,PIP_CERT,SSL_CERT_FILE
    exec sudo --non-interactive --preserve-env="$keep" "$(readlink --canonicalize "$0")" "$@"
}

# need_packages PACKAGE…: install those that are missing; on a machine that has them all, touch nothing.
need_packages() {
    local package missing=()
    for package in "$@"; do
        [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "$0: installing ${missing[*]}" >&2
    (   # No service is to start: what needs a server brings its own, on loopback.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap 'rm --force "$policy"' EXIT
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod 755 "$policy"
        fi
        export DEBIAN_FRONTEND=noninteractive
        apt-get --quiet --quiet update
        apt-get --quiet --quiet --yes --no-install-recommends --option DPkg::Lock::Timeout=300 \
            install "${missing[@]}" >/dev/null
    )
}

# need_python [EXTRA]: the project and the Python packages it asks for in $venv; again only when these have changed.
need_python() {
    local extra=${1:-} wanted have
    wanted=$(cat "$root/pyproject.toml" "$root"/scripts/requirements-*.txt | sha256sum | cut --delimiter=' ' --fields=1)
    have=$(cat "$venv/.installed" 2>/dev/null || true)
    # "HASH EXTRA": what was installed with an extra also serves whoever wants none.
    if [ -x "$venv/bin/python" ] && { [ "$have" = "$wanted $extra" ] || { [ -z "$extra" ] && [ "${have%% *}" = "$wanted" ]; }; }; then
        return 0
    fi
    local python=/usr/bin/python3  # Debian's: another one on PATH may lie in a home that is closed to other users
    [ -x "$python" ] || python=python3
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    echo "$0: installing Python packages into $venv" >&2
    # The locked versions, each with the hash that it had when scripts/lock looked; then the project, by what is there.
    local pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check install)
    "${pip[@]}" --require-hashes --requirement "$root/scripts/requirements-build.txt" \
        --requirement "$root/scripts/requirements-${extra:-run}.txt"
    "${pip[@]}" --no-index --no-deps --no-build-isolation --editable "$root"
    echo "$wanted $extra" >"$venv/.installed"
}
