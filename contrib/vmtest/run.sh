#!/bin/bash
# Boots the virtual machine once and runs the suite in it. What it says goes to standard
# output, results to the file that RINGWALL_RESULTS names.
#
# RINGWALL_VM_CACHE  where the image is kept
# RINGWALL_VM_RUN    runs only the tests that match this
# RINGWALL_VM_COUNT  runs each so many times
# RINGWALL_VM_ACCEL  tcg (default), or kvm
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${RINGWALL_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringwall-vm}
command -v qemu-system-x86_64 > /dev/null || { echo 'vm-test needs qemu-system-x86_64 (Debian: apt-get install qemu-system-x86)' >&2; exit 1; }
image=$(contrib/vmtest/image.sh "$cache")

work=$(mktemp -d /tmp/ringwall-vm-XXXXXX)
qemu=
trap '[ -z "$qemu" ] || kill "$qemu" 2> /dev/null || true; rm -rf "$work"' EXIT
mkdir -p "$work/test/programs"
export CGO_ENABLED=0
build() { go build -trimpath -buildvcs=false "$@"; }
build -o "$work/test/programs/probe" ./internal/sandbox/conformance/probe
build -o "$work/test/programs/ringwall-guest" ./cmd/ringwall-guest
build -tags ringwall_weak -o "$work/test/programs/ringwall-guest-ringwall_weak" ./cmd/ringwall-guest
go test -c -o "$work/test/ns.test" ./internal/backend/ns
go test -c -o "$work/test/cgroup.test" ./internal/linux/cgroup
cp contrib/vmtest/guest.sh "$work/test/"
cp -r internal/backend/ns/testdata "$work/test/"
echo "export RINGWALL_VM_RUN='${RINGWALL_VM_RUN:-}' RINGWALL_VM_COUNT='${RINGWALL_VM_COUNT:-}'" > "$work/test/environment"
tar -C "$work/test" -cf "$work/tests.tar" .
truncate -s %512 "$work/tests.tar"

accel=${RINGWALL_VM_ACCEL:-tcg}
cpu=max
[ "$accel" != tcg ] || accel=tcg,thread=multi
echo "booting $(basename "$image") with $accel"
: > "$work/out"
qemu-system-x86_64 -M q35 -accel "$accel" -cpu "$cpu" -smp 2 -m 3072 -nodefaults -no-user-config -display none -no-reboot \
	-kernel "$image/vmlinuz" -initrd "$image/initrd" \
	-append 'console=ttyS0 root=/dev/vda rw quiet panic=-1 mitigations=off systemd.show_status=no systemd.journald.forward_to_console=0' \
	-chardev file,id=console,path="$work/console" -serial chardev:console -chardev file,id=out,path="$work/out" -serial chardev:out \
	-drive if=none,id=d0,file="$image/disk.img",format=raw,snapshot=on,cache=unsafe -device virtio-blk-pci,drive=d0 \
	-drive if=none,id=d1,file="$work/tests.tar",format=raw,readonly=on -device virtio-blk-pci,drive=d1 -device virtio-rng-pci < /dev/null &
qemu=$!
tail -n +1 -f --pid="$qemu" "$work/out" | tr -d '\r' | sed '/^=== results/,$d' &
shown=$!
status=0
wait "$qemu" || status=$?
qemu=
wait "$shown" || true
tr -d '\r' < "$work/out" > "$work/clean"
if ! grep -q '^=== end' "$work/clean"; then
	echo "the virtual machine ended early (QEMU's status is $status); its console said:" >&2
	tail -n 40 "$work/console" >&2
	exit 1
fi
sed -n '/^=== results/,/^=== end/p' "$work/clean" | grep '^{' > "$work/results" || true
if [ -n "${RINGWALL_RESULTS:-}" ]; then cat "$work/results" >> "$RINGWALL_RESULTS"; else go run ./internal/testenv/table "$work/results"; fi
grep -q '^=== end 0' "$work/clean"
