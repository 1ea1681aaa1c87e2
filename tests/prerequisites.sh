#!/bin/sh
# Makes sure that what the build and the tests need is there. Usage: prerequisites.sh build|test
#
# The wasm target comes by rustup; on Debian or Ubuntu as root, missing packages come by apt-get. Everything
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

need cc gcc
if [ "${1:-build}" = test ]; then
    need dockerd docker.io        # the real engine that the tests start for themselves
    need podman podman            # the other one
    need runc runc                # what it runs containers with
    need busybox busybox-static   # what the tests' containers run
    need curl curl                # asks hosts for cleanups, as a platform does
    need docker-registry docker-registry # where policies are pushed to and pulled from
    need /etc/ssl/certs/ca-certificates.crt ca-certificates # without any, no registry is asked
    need openssl openssl          # whose keys and signatures ours must go with
    need redis-server redis-server # leases, in servers that the tests start for themselves
    need haproxy haproxy          # the proxy before a Docker socket, of host/deploy
    need clang clang              # the policy in C
    need wasm-ld lld
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
