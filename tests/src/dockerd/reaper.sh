# Ends a test's dockerd and removes its traces once nobody needs it any more, however its users ended.
# Usage: reaper.sh DIRECTORY          waits until standard input is closed
#        reaper.sh DIRECTORY LOCK     waits until nobody holds the lock
dir=$1 lock=$2

alive() {
    [ -r "/proc/$1/stat" ] && ! grep -q ') Z ' "/proc/$1/stat"
}

end() {
    [ -s "$1" ] || return 0
    pid=$(cat "$1")
    alive "$pid" || return 0
    kill -CONT "$pid"
    kill "$pid"
    for _ in $(seq 100); do
        alive "$pid" || return 0
        sleep 0.1
    done
    kill -9 "$pid"
}

reap() {
    end "$dir/dockerd.pid"
    end "$dir/exec/containerd/containerd.pid"
    grep -o " $dir/[^ ]*" /proc/mounts | sort -r | xargs -r -n 1 umount -l
    rm -rf "$dir"
}

if [ -z "$lock" ]; then
    cat >/dev/null
    reap
else
    # The exclusive lock keeps newcomers waiting until all is gone.
    exec 9>>"$lock"
    while sleep 3; do
        if flock -n -x 9; then
            reap
            exit 0
        fi
    done
fi
