// Package nemesis runs clusters whose network and nodes somebody spoils. The nodes are
// released daemons in network namespaces of their own, joined by a bridge; packets are
// dropped, refused and held up by the kernel, connections killed, processes stopped and
// killed. Directed tests do one thing each; the nemesis does all of it, as its seed says,
// beside transfers in all directions. It needs root, iproute2 and nftables.
package nemesis
