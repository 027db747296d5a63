#!/bin/bash
# Runs inside the virtual machine, as root, started by systemd: the conformance suite by root,
# by a user to whom systemd delegates control groups, and by one to whom it does not.
cd /opt/test
export RINGWALL_TEST_PROGRAMS=/opt/test/programs RINGWALL_RESULTS=/opt/test/results HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
touch "$RINGWALL_RESULTS" && chmod 666 "$RINGWALL_RESULTS"
failed=0

part() { # name, command...
	local name=$1 start=$SECONDS
	shift
	echo "=== $name"
	if "$@" < /dev/null 2>&1; then echo "=== $name: ok, $((SECONDS - start)) s"; else
		echo "=== $name: FAILED, $((SECONDS - start)) s"
		failed=1
	fi
}

facts() {
	echo "kernel    $(uname -srm)"
	echo "system    $(. /etc/os-release && echo "$PRETTY_NAME"), PID 1 is $(cat /proc/1/comm), $(systemctl --version | head -n 1)"
	echo "cpus      $(nproc), memory $(awk '/MemTotal/ {printf "%d MiB", $2/1024}' /proc/meminfo)"
	echo "cgroups   $(awk '$3 ~ /^cgroup/ {printf "%s on %s ", $3, $2}' /proc/self/mounts)"
	echo "lsm       $(cat /sys/kernel/security/lsm 2> /dev/null || echo unknown)"
	echo "own group $(cat /proc/self/cgroup)"
	[ "$(cat /proc/1/comm)" = systemd ] && [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]
}

suite() { RINGWALL_TEST_MODE=$1 ./ns.test -test.count "${RINGWALL_VM_COUNT:-1}" -test.timeout 30m -test.run "${RINGWALL_VM_RUN:-.}"; }
tester() { setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all env -u XDG_RUNTIME_DIR HOME=/home/tester "$@"; }

# delegated runs a command as the user's own systemd starts a service with Delegate=yes.
delegated() {
	tester XDG_RUNTIME_DIR=/run/user/1000 systemd-run --user --quiet --wait --pipe --property=Delegate=yes --working-directory=/opt/test \
		--setenv=RINGWALL_TEST_PROGRAMS --setenv=RINGWALL_RESULTS --setenv=RINGWALL_TEST_MODE --setenv=RINGWALL_REQUIRE "$@"
}

export -f suite
[ ! -e environment ] || . ./environment
export RINGWALL_REQUIRE=root,ns,userns,overlay,seccomp,cgroup,cgroup2
part facts facts
part 'control groups by root' ./cgroup.test -test.timeout 5m
part 'suite by root' suite 'root, vm'
export RINGWALL_REQUIRE=user,ns,userns,seccomp
part 'suite by a user' tester bash -c 'suite "user, vm"'
export RINGWALL_REQUIRE=user,ns,userns,seccomp,memory RINGWALL_TEST_MODE='deleg, vm'
part 'suite by a user with delegation' delegated ./ns.test -test.timeout 30m -test.run "${RINGWALL_VM_RUN:-.}"
# What Ringwall advises where memory cannot be limited has to be true.
unset RINGWALL_RESULTS
part 'memory limit in the scope that is advised' tester XDG_RUNTIME_DIR=/run/user/1000 \
	systemd-run --user --scope --quiet -p Delegate=yes ./ns.test -test.timeout 5m -test.run 'Conformance/attack/mem-capped'
RINGWALL_RESULTS=/opt/test/results
echo '=== results'
cat "$RINGWALL_RESULTS"
echo "=== end $failed"
sync
