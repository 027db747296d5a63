#!/bin/bash
# Makes the virtual machine's disk and kernel: Debian bookworm with systemd as PID 1, cgroup v2
# alone, and a user (1000) whose systemd runs all the time. It is made once for what this
# script says and what the packages were called then, and kept in the cache directory.
#
#	image.sh CACHE-DIRECTORY    prints the directory of the image
set -euo pipefail
cache=$1
packages=systemd,systemd-sysv,systemd-container,dbus,dbus-user-session,libpam-systemd,linux-image-cloud-amd64,initramfs-tools,busybox,util-linux,procps,tar,git,python3-minimal,libc-bin

# The host's own sources: they are what this host can reach.
sources=${RINGWALL_APT_SOURCES:-}
for s in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
	[ -n "$sources" ] || [ ! -s "$s" ] || sources=$s
done
key=$(sha256sum "$0" | cut -c1-16)
dir=$cache/$key
if [ -s "$dir/disk.img" ]; then
	echo "$dir"
	exit
fi
for tool in mmdebstrap mke2fs; do
	command -v $tool > /dev/null || { echo "vm-test needs $tool (Debian: apt-get install mmdebstrap e2fsprogs qemu-system-x86)" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo 'the image is made by root; once made, anybody may boot it' >&2; exit 1; }
mkdir -p "$cache"
work=$(mktemp -d "$cache/making-XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "making the image from $sources" >&2
mmdebstrap --quiet --variant=minbase --include=$packages \
	--customize-hook='echo ringwall-vm > "$1/etc/hostname"' \
	--customize-hook='chroot "$1" useradd -m -u 1000 -s /bin/bash tester && mkdir -p "$1/var/lib/systemd/linger" && touch "$1/var/lib/systemd/linger/tester"' \
	--customize-hook='printf "virtio_pci\nvirtio_blk\n" >> "$1/etc/initramfs-tools/modules" && sed -i s/^MODULES=.*/MODULES=list/ "$1/etc/initramfs-tools/initramfs.conf" && chroot "$1" update-initramfs -u > /dev/null' \
	--customize-hook='printf "[Unit]\nDescription=Tests\nAfter=multi-user.target user@1000.service\nWants=user@1000.service\n[Service]\nType=oneshot\nExecStart=/bin/sh -c \"mkdir -p /opt/test && tar xf /dev/vdb -C /opt/test && exec /opt/test/guest.sh\"\nStandardInput=null\nStandardOutput=file:/dev/ttyS1\nStandardError=inherit\nTimeoutStartSec=infinity\nExecStopPost=/bin/systemctl --no-block poweroff\n[Install]\nWantedBy=default.target\n" > "$1/etc/systemd/system/ringwall-test.service" && chroot "$1" systemctl --quiet enable ringwall-test.service' \
	--customize-hook='chroot "$1" systemctl --quiet mask getty@tty1.service serial-getty@ttyS0.service systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer' \
	--customize-hook='cp "$1"/boot/vmlinuz-* '"$work"'/vmlinuz && cp "$1"/boot/initrd.img-* '"$work"'/initrd && rm -rf "$1"/boot/* "$1"/var/cache/apt/* "$1"/usr/share/doc/*' \
	bookworm "$work/root.tar" ${sources:+"$sources"} >&2
mkdir "$work/root"
tar -C "$work/root" -xf "$work/root.tar"
truncate -s 3G "$work/disk.img"
mke2fs -q -t ext4 -O ^has_journal -d "$work/root" "$work/disk.img"
rm -rf "$work/root" "$work/root.tar"
chmod 755 "$work"
rm -rf "$dir"
mv "$work" "$dir"
trap - EXIT
echo "$dir"
