#!/bin/sh
# Shows what Ringwall is for: an agent's session on a small project, in which the
# agent turns on its host. Everything happens in a temporary directory, with a
# temporary home. Ends with status 0 only if every promise held.
set -eu
ringwall=$(realpath "${1:?usage: try.sh RINGWALL}")
here=$(dirname "$(realpath "$0")")

if [ ! -x /usr/bin/python3 ]; then
	echo "make try needs /usr/bin/python3 for its example: apt-get install python3" >&2
	exit 1
fi
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then b=$(printf '\033[1m') g=$(printf '\033[32m') r=$(printf '\033[31m') n=$(printf '\033[0m'); else b='' g='' r='' n=''; fi

dir=$(mktemp -d "${TMPDIR:-/var/tmp}/ringwall-try-XXXXXX")
server=
cleanup() {
	if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
	chmod -R u+rwx "$dir" && rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The host: a home with a key, a token in the environment, a server, files to lose.
export HOME="$dir/home" RINGWALL_STATE_DIR="$dir/state" RINGWALL_RUNTIME_DIR="$dir/runtime"
mkdir -p "$HOME/.ssh" "$dir/precious"
echo 'the private key' > "$HOME/.ssh/id_ed25519"
echo 'three years of work' > "$dir/precious/thesis.txt"
export GITHUB_TOKEN=ghp_not_a_real_token
cp -r "$here/project" "$HOME/wordcount"
cp "$here/agent.sh" "$dir/agent.sh"
cd "$HOME/wordcount"
if command -v git > /dev/null; then
	git init -q . && git add -A && git -c user.name=You -c user.email=you@example.org commit -qm 'wordcount'
fi
/usr/bin/python3 -c '
import socket, sys, time
s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1], flush=True); time.sleep(600)' > "$dir/port" &
server=$!
i=0
while [ ! -s "$dir/port" ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
port=$(cat "$dir/port")
state() { find "$HOME" "$dir/precious" -type f -exec sha256sum {} + | sort -k 2; }
state > "$dir/before"

echo "${b}A small project, and an agent that fixes a bug in it and then goes wrong:${n}"
echo "  ringwall run --ro agent.sh -- sh agent.sh"
echo
status=0
"$ringwall" run --ro "$dir/agent.sh" --result "$dir/result" -- sh "$dir/agent.sh" "$dir/precious" "$port" > "$dir/out" 2> "$dir/err" || status=$?
sed '$d' "$dir/out"
echo
echo "${b}What ringwall says when it is over:${n}"
sed 's/^/   /' "$dir/err"
state > "$dir/after"

echo
failed=0
promise() { # text, condition
	if [ "$2" = yes ]; then echo " ${g}✔${n} $1"; else echo " ${r}✘ $1: NOT TRUE${n}"; failed=1; fi
}
has() { if grep -q "$1" "$2"; then echo yes; else echo no; fi; }
last=$(tail -n 1 "$dir/out")
says() { case " $last " in *" $1 "*) echo yes ;; *) echo no ;; esac; }
echo "${b}What was promised:${n}"
promise "the agent could do its work: the bug is fixed in the kept changes" "$(says fixed=yes)"
promise "it could not read your keys" "$(says stolen=no)"
promise "it did not get your tokens" "$(says leaked=no)"
promise "it had no network, not even to this machine" "$(says phoned=no)"
promise "its changes are listed" "$(has 'wordcount.py' "$dir/err")"
if cmp -s "$dir/before" "$dir/after"; then same=yes; else same=no; fi
promise "every file of the host is as it was" "$same"
if [ -z "$("$ringwall" ps 2> /dev/null)" ]; then over=yes; else over=no; fi
promise "nothing of it still runs" "$over"
if [ "$status" -ne 0 ]; then
	echo "ringwall ended with status $status" >&2
	failed=1
fi
exit "$failed"
