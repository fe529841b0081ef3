"""The appliance: how it is built (`vm/build`), configured (`vm/seed`, `vm/rootfs`) and run under QEMU (`vm/run`)."""
