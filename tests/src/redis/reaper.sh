# Ends the Redis servers of a directory and removes it, once standard input is closed: however their test ended.
# Usage: reaper.sh DIRECTORY
dir=$1
cat >/dev/null
for file in "$dir"/*.pid; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    # A killed server leaves its file, and its number may have gone to another process.
    grep -q redis "/proc/$pid/comm" 2>/dev/null && kill -9 "$pid"
done
rm -rf "$dir"
