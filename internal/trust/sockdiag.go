package trust

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// errNoSocket says that this host has no such connection.
var errNoSocket = errors.New("no such socket on this host")

const (
	sockDiagByFamily = 20 // linux/sock_diag.h
	diagReqLen       = 56 // struct inet_diag_req_v2
	diagMsgLen       = 72 // struct inet_diag_msg
	tcpEstablished   = 1
)

// findSocketOwner returns the uid of the local socket that is connected from
// client to server: the other end of a connection that server accepted. It asks
// sock_diag, and then /proc: a kernel or sandbox may lack the first. errNoSocket
// says that the client's end is not a live socket of this network namespace.
func findSocketOwner(client, server netip.AddrPort) (uint32, error) {
	uid, err := askSockDiag(client, server)
	if err == nil {
		return uid, nil
	}
	// ENOENT is ambiguous: no such socket, or no handler for TCP. For a client
	// on another host, where it is expected, the tables need not be read.
	if errors.Is(err, errNoSocket) && client.Addr() != server.Addr() && !client.Addr().IsLoopback() {
		return 0, errNoSocket
	}
	uid, procErr := askProc(client, server)
	if procErr == nil || errors.Is(procErr, errNoSocket) {
		return uid, procErr
	}
	return 0, errors.Join(err, procErr)
}

func askSockDiag(client, server netip.AddrPort) (uint32, error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	defer func() { _ = conn.Close() }()
	replies, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request},
		Data:   diagRequest(client, server),
	})
	if errors.Is(err, unix.ENOENT) {
		return 0, errNoSocket
	}
	if err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	if len(replies) != 1 {
		return 0, fmt.Errorf("sock_diag: %d answers", len(replies))
	}
	return diagOwner(replies[0].Data, client, server)
}

func diagRequest(client, server netip.AddrPort) []byte {
	b := make([]byte, diagReqLen)
	b[0], b[1] = unix.AF_INET, unix.IPPROTO_TCP
	if client.Addr().Is6() {
		b[0] = unix.AF_INET6
	}
	binary.NativeEndian.PutUint32(b[4:], 1<<tcpEstablished)
	putDiagID(b[8:], client, server)
	for i := 48; i < 56; i++ {
		b[i] = 0xff // INET_DIAG_NOCOOKIE
	}
	return b
}

// putDiagID writes ports and addresses of struct inet_diag_sockid.
func putDiagID(b []byte, src, dst netip.AddrPort) {
	binary.BigEndian.PutUint16(b[0:], src.Port())
	binary.BigEndian.PutUint16(b[2:], dst.Port())
	copy(b[4:20], src.Addr().AsSlice())
	copy(b[20:36], dst.Addr().AsSlice())
}

// diagOwner reads the answer. Where no connection fits, the kernel answers with
// a listener of that port: only an established socket with an inode (one that a
// process holds) counts. The others show uid 0.
func diagOwner(b []byte, client, server netip.AddrPort) (uint32, error) {
	if len(b) < diagMsgLen {
		return 0, fmt.Errorf("sock_diag: an answer of %d bytes", len(b))
	}
	var want [36]byte
	putDiagID(want[:], client, server)
	inode := binary.NativeEndian.Uint32(b[68:])
	if b[1] != tcpEstablished || inode == 0 || !sameID(b[4:40], want[:], client) {
		return 0, errNoSocket
	}
	return binary.NativeEndian.Uint32(b[64:]), nil
}

// sameID compares ids; a v6 socket that talks v4 answers with mapped addresses.
func sameID(got, want []byte, client netip.AddrPort) bool {
	if string(got[:4]) != string(want[:4]) {
		return false
	}
	if string(got) == string(want) {
		return true
	}
	src, _ := netip.AddrFromSlice(got[4:20])
	dst, _ := netip.AddrFromSlice(got[20:36])
	wantDst, _ := netip.AddrFromSlice(want[20:24])
	return client.Addr().Is4() && src.Is4In6() && dst.Is4In6() &&
		src.Unmap() == client.Addr() && dst.Unmap() == wantDst
}
