// Package lab runs a program where there is real RDMA: inside one or two virtual
// machines that boot Debian's kernel with SoftRoCE devices. The guest sees the
// host's file system, copy-on-write, so it runs what the host has built and
// installed. QEMU emulates the processor: neither root nor /dev/kvm is needed.
//
// It is for tests, and for the command in cmd/lab. It proves function and
// behaviour under faults; its speed says nothing about hardware.
// docs/lab.md is the manual.
package lab
