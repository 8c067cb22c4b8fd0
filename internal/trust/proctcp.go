package trust

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// askProc looks the connection up in the kernel's text tables. A v6 socket that
// talks v4 stands in the v6 table.
func askProc(client, server netip.AddrPort) (uint32, error) {
	for _, name := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) && strings.HasSuffix(name, "6") {
			continue // a kernel without IPv6
		}
		if err != nil {
			return 0, err
		}
		uid, err := procOwner(f, client, server)
		_ = f.Close()
		if !errors.Is(err, errNoSocket) {
			return uid, err
		}
	}
	return 0, errNoSocket
}

// procOwner reads one table. As with sock_diag, only an established socket that
// a process holds counts: all others are shown as uid 0.
func procOwner(r io.Reader, client, server netip.AddrPort) (uint32, error) {
	const (
		local, remote, state, uid, inode = 1, 2, 3, 7, 9
		established                      = "01"
	)
	sc := bufio.NewScanner(r)
	for line := 0; sc.Scan(); line++ {
		f := strings.Fields(sc.Text())
		if line == 0 || len(f) <= inode || f[state] != established || f[inode] == "0" {
			continue
		}
		from, err := parseHexAddr(f[local])
		if err != nil {
			return 0, err
		}
		if from != client {
			continue
		}
		to, err := parseHexAddr(f[remote])
		if err != nil {
			return 0, err
		}
		if to != server {
			continue
		}
		n, err := strconv.ParseUint(f[uid], 10, 32)
		if err != nil {
			return 0, fmt.Errorf("socket table: uid %q", f[uid])
		}
		return uint32(n), nil
	}
	if err := sc.Err(); err != nil {
		return 0, fmt.Errorf("socket table: %w", err)
	}
	return 0, errNoSocket
}

// parseHexAddr reads "0100007F:1D10": 32-bit words as the CPU has them in
// memory, and the port as a number.
func parseHexAddr(s string) (netip.AddrPort, error) {
	host, port, ok := strings.Cut(s, ":")
	words, err := hex.DecodeString(host)
	if !ok || err != nil || len(words) != 4 && len(words) != 16 {
		return netip.AddrPort{}, fmt.Errorf("socket table: address %q", s)
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("socket table: address %q", s)
	}
	for i := 0; i < len(words); i += 4 {
		binary.NativeEndian.PutUint32(words[i:], binary.BigEndian.Uint32(words[i:]))
	}
	ip, _ := netip.AddrFromSlice(words)
	return netip.AddrPortFrom(ip.Unmap(), uint16(p)), nil
}
