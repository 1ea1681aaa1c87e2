# Ends a test's Podman service, its containers and its traces once standard input is closed.
# Usage: reaper.sh DIRECTORY PID PODMAN ARGUMENT...
dir=$1 pid=$2
shift 2
cat > /dev/null

alive() {
    [ -r "/proc/$1/stat" ] && ! grep -q ') Z ' "/proc/$1/stat"
}

# What tidies up after a container once it has ended would make the directory anew.
tidying() {
    grep -lsa -- "$dir/[r]oot" /proc/[0-9]*/cmdline | grep -qv "^/proc/$$/"
}

kill -CONT "$pid"
kill "$pid"
for _ in $(seq 50); do
    alive "$pid" || break
    sleep 0.1
done
alive "$pid" && kill -9 "$pid"
"$@" rm --all --force --time 0
for _ in $(seq 100); do
    tidying || break
    sleep 0.1
done
grep -o " $dir/[^ ]*" /proc/mounts | sort -r | xargs -r -n 1 umount -l
rm -rf "$dir"
