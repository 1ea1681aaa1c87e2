#!/bin/sh
# Runs a command with a Docker Engine to talk to: the one that DOCKER_HOST names or that answers at the usual
# socket, else a throwaway one, if dockerd is installed and this is root. Without any, the command runs as it is.
set -eu

socket=/var/run/docker.sock
answers() {
    [ -S "$1" ] || return 1
    if command -v curl > /dev/null 2>&1; then
        curl --silent --fail --max-time 5 --unix-socket "$1" http://localhost/_ping > /dev/null 2>&1
    else
        docker -H "unix://$1" version > /dev/null 2>&1
    fi
}

if [ -n "${DOCKER_HOST:-}" ] || answers "$socket" || [ "$(id -u)" != 0 ] || ! command -v dockerd > /dev/null 2>&1; then
    exec "$@"
fi

home=$(mktemp -d)
echo "No Docker Engine is running; starting a throwaway one in $home"
# In a session of its own: Ctrl-C is for the command, which still needs the engine to clear up.
setsid dockerd --data-root "$home/data" --exec-root "$home/exec" --pidfile "$home/pid" -H "unix://$home/socket" \
    --bridge=none --iptables=false --ip-forward=false --ip-masq=false > "$home/log" 2>&1 &
engine=$!
trap 'kill "$engine" 2> /dev/null; wait "$engine" 2> /dev/null || true; rm -rf "$home"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
tries=0
until answers "$home/socket"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 150 ] || ! kill -0 "$engine" 2> /dev/null; then
        echo "It did not start; the end of its log:" >&2
        tail -n 5 "$home/log" >&2
        break
    fi
    sleep 0.2
done
DOCKER_HOST="unix://$home/socket" "$@"
