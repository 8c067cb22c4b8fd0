// Package trust answers who is calling, and whether a listener may be opened at
// all. On one host the kernel vouches for the caller: SO_PEERCRED on the unix
// socket, the owner of the client's socket on loopback TCP.
//
// It proves identities and holds the policy that is in force before there are
// rules: only root and xferd's own user may call. It does not know RPCs, and
// there is no TLS in it: a caller from another host is unknown, never trusted
// for the sake of its address.
package trust
