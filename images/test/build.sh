#!/usr/bin/env bash
# Makes a tiny bootable Linux disk out of Debian packages: kernel, busybox, dropbear, guest agent.
# It mounts nothing, needs no loop device and installs nothing; an ordinary user can run it.
#
#   images/test/build.sh OUT      writes OUT/tiny.raw and OUT/tiny.qcow2; works in OUT/work
#
# Needs: apt-get, dpkg-deb, cpio, e2fsprogs, fdisk, grub-common, grub-pc-bin, binutils, qemu-img.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?the folder to write to}"
out=$(cd "$1" && pwd)
work=$out/work
size_mb=64
triplet=x86_64-linux-gnu
export PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$work/debs"
cd "$work"

# ---- packages ------------------------------------------------------------------------------
# The cloud kernel has the virtio drivers as modules and little else.
kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ && !n++ {print $2}')
[ -n "$kernel" ] || { echo "apt knows no linux-image-cloud-amd64: run apt-get update" >&2; exit 1; }
packages="$kernel busybox busybox-static dropbear-bin qemu-guest-agent e2fsprogs
    libc6 libcrypt1 libtomcrypt1 libtommath1 zlib1g libgmp10
    libext2fs2 libcom-err2 libblkid1 libuuid1
    libglib2.0-0 libpcre2-8-0 liburing2 libudev1 libselinux1 libgcc-s1 libnuma1"
# Files of an earlier run may be of earlier versions: apt fetches only what is not there.
# Root lends its own eyes: apt's sandbox user cannot see a checkout in somebody's home.
# shellcheck disable=SC2086
(cd debs && apt-get -o APT::Sandbox::User="$(id -un)" download -qq $packages)
rm -rf unpacked static root initrd
mkdir unpacked static root initrd
newest() { ls -t debs/"$1"_*.deb | head -n 1; }
for package in $packages; do
    target=unpacked
    [ "$package" = busybox-static ] && target=static
    dpkg-deb -x "$(newest "$package")" $target
done

# ---- the root tree -------------------------------------------------------------------------
mkdir -p root/{bin,sbin,dev,proc,sys,run,tmp,root/.ssh,etc/dropbear,mnt/config,boot,lib/modules} \
    root/{lib64,lib/$triplet,var/log,usr/share/udhcpc}
cp unpacked/bin/busybox root/bin/busybox
for applet in $(unpacked/bin/busybox --list); do
    [ "$applet" = busybox ] || ln -sf /bin/busybox "root/bin/$applet"
done
ln -s /bin/busybox root/sbin/init
ln -s ../bin root/usr/bin
ln -s ../sbin root/usr/sbin
cp unpacked/usr/sbin/dropbear unpacked/usr/sbin/qemu-ga unpacked/sbin/{resize2fs,mke2fs} root/sbin/
cp unpacked/usr/bin/dropbearkey root/bin/
ln -s mke2fs root/sbin/mkfs.ext4

# Shared libraries, resolved by the unpacked tree's own loader.
loader=lib/$triplet/ld-linux-x86-64.so.2
cp -L unpacked/$loader root/lib64/
for program in bin/busybox sbin/dropbear bin/dropbearkey sbin/resize2fs sbin/mke2fs sbin/qemu-ga; do
    unpacked/$loader --library-path "$PWD/unpacked/lib/$triplet:$PWD/unpacked/usr/lib/$triplet" \
        --list "root/$program" | awk '$3 ~ /^\// {print $3}'
done | sort -u | while read -r library; do
    [ -e "root/lib/$triplet/$(basename "$library")" ] || cp -L "$library" "root/lib/$triplet/"
done

install -m 644 "$here/files/inittab" root/etc/inittab
install -m 755 "$here/files/udhcpc.script" root/usr/share/udhcpc/default.script
echo 'root::0:0:root:/root:/bin/sh' > root/etc/passwd
echo 'root:x:0:' > root/etc/group
echo 'root:*:19000:0:99999:7:::' > root/etc/shadow
echo /bin/sh > root/etc/shells
echo tiny > root/etc/hostname
: > root/etc/resolv.conf

# Modules lie flat and are loaded by name in this order (no depmod: it saves boot time).
# virtio_ring must come before virtio.
early="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk failover
    net_failover virtio_net"
later="virtio_console virtio_balloon virtio-rng button evdev cdrom isofs"
modules() { # tree, names
    for name in $2; do
        file=$(find unpacked/lib/modules -name "$name.ko")
        if [ -n "$file" ]; then
            strip --strip-debug -o "$1/lib/modules/$name.ko" "$file"
        else
            echo "the kernel has no module $name" >&2
        fi
    done
}
modules root "$later"
names() { echo $1; }
sed "s/@LATER@/$(names "$later")/" "$here/files/rc" > root/etc/rc
chmod 755 root/etc/rc

# ---- the first stage: finds the disk, grows its partition, hands over ----------------------
mkdir -p initrd/{bin,dev,proc,sys,lib/modules,new}
cp static/bin/busybox initrd/bin/
ln -s busybox initrd/bin/sh
modules initrd "$early"
sed "s/@EARLY@/$(names "$early")/" "$here/files/init" > initrd/init
chmod 755 initrd/init
cp "unpacked/boot/vmlinuz-${kernel#linux-image-}" root/boot/vmlinuz
(cd initrd && find . -print0 | LC_ALL=C sort -z | cpio --null -o -H newc --owner 0:0 --quiet) \
    > root/boot/initrd.img

# ---- the disk: an MBR, one ext4 partition, GRUB placed by hand -----------------------------
disk=tiny.raw
rm -f $disk
truncate -s ${size_mb}M $disk
mke2fs -q -F -t ext4 -L tiny-root -O '^metadata_csum,^64bit,^has_journal,resize_inode' \
    -E root_owner=0:0,offset=1048576,lazy_itable_init=0 -d root $disk $(((size_mb - 1) * 1024))k
printf 'label: dos\nstart=2048, type=83, bootable\n' | sfdisk -q $disk
cat > grub.cfg <<'CFG'
set root=(hd0,msdos1)
linux /boot/vmlinuz console=ttyS0 quiet
initrd /boot/initrd.img
boot
CFG
grub-mkimage -O i386-pc -C auto -p '(hd0,msdos1)/boot' -c grub.cfg -o core.img \
    biosdisk part_msdos ext2 linux
# The space between the MBR and the first partition holds it.
[ "$(stat -c %s core.img)" -lt 1047000 ]
dd if=/usr/lib/grub/i386-pc/boot.img of=$disk bs=440 count=1 conv=notrunc status=none
dd if=core.img of=$disk bs=512 seek=1 conv=notrunc status=none
qemu-img convert -O qcow2 -c $disk tiny.qcow2
mv -f tiny.raw tiny.qcow2 "$out/"
rm -rf unpacked static root initrd core.img grub.cfg
