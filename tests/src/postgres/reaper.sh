# Ends a test's PostgreSQL and removes its data once the test has ended, however it ended: standard input is closed then.
# Usage: reaper.sh DIRECTORY
dir=$1
cat >/dev/null

pid=$(head -n 1 "$dir/data/postmaster.pid" 2>/dev/null)
# The number may be another process's by now.
alive() {
    [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = postgres ] && ! grep -q ') Z ' "/proc/$pid/stat"
}

if alive; then
    kill -CONT "$pid"
    kill -QUIT "$pid"
    for _ in $(seq 50); do
        alive || break
        sleep 0.1
    done
    alive && kill -9 "$pid"
fi
rm -rf "$dir"
