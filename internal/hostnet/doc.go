// Package hostnet answers what this host's network looks like: its interfaces
// and their speed, NUMA node and RDMA devices, and which local address leads to
// a peer. It only reads: sysfs and route netlink.
//
// It does not choose RDMA GIDs (that takes a live device) and opens no data
// connections. A fact that cannot be read is reported as unknown, never guessed.
package hostnet
