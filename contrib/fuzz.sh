#!/bin/bash
# Runs each fuzz target for a time. usage: contrib/fuzz.sh TIME
#
# Now and then `go test -fuzz` reports the end of its own time as a failure, "context
# deadline exceeded", without a failing input. That alone is none; a target that fails
# always writes its input down and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for pkg in $(go list ./...); do
	for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
		echo "$pkg $target"
		if go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "$pkg" > "$log" 2>&1; then
			tail -n 2 "$log"
		elif grep -q 'context deadline exceeded' "$log" && ! grep -qE 'Failing input|panic' "$log"; then
			echo 'the time was over; no failing input'
		else
			cat "$log"
			exit 1
		fi
	done
done
