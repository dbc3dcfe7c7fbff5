"""ARM boards under qemu: a Debian root, real ARM wheels and the wheel of this checkout."""
