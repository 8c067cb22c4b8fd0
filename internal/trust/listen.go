package trust

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// ErrExposed says that a listener would be open to the network without proof of
// who calls.
var ErrExposed = errors.New("listening beyond loopback needs TLS")

// CheckListen refuses a TCP listen address ("host:port") that is reachable from
// other hosts without TLS, unless insecure is set. The error wraps ErrExposed
// and says what to do. Unix sockets ("unix:///path" or "/path") pass: the
// kernel knows who calls there.
func CheckListen(addr string, haveTLS, insecure bool) error {
	if strings.HasPrefix(addr, "unix:") || strings.HasPrefix(addr, "/") {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listen address %q: want host:port", addr)
	}
	if haveTLS || insecure || isLoopback(host) {
		return nil
	}
	return fmt.Errorf("%w: %s: listen on 127.0.0.1, or set insecure: true to let anybody call",
		ErrExposed, addr)
}

// isLoopback takes a name for what it says only where it is "localhost": what
// others resolve to can change.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
