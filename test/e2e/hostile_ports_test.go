package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Whoever speaks something else to a port or to the socket is hung up on: the
// daemon goes on, keeps no descriptor of it, and does not fill its log.
func TestGarbageOnEveryPort(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 1)
	d := f.daemons[0]
	up := regexp.MustCompile(`node is up.* control=(\S+) data=(\S+)`).FindStringSubmatch(d.stderr.String())
	if up == nil {
		t.Fatal("the log does not say where it listens")
	}
	gossip := strings.Split(up[1], ":")[0] + ":7442"
	c.ok(t, "nodes")
	descriptors := func() int { return len(must(os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.pid())))(t)) }
	before, logged := descriptors(), len(d.stderr.String())

	hello := &tls.Config{InsecureSkipVerify: true} // only to say hello
	talks := map[string]func(net.Conn){
		"Nothing": func(net.Conn) {},
		"Random":  func(c net.Conn) { _, _ = c.Write(random(64<<10, 1)) },
		"HTTP":    func(c net.Conn) { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
		"TLS": func(c net.Conn) {
			_ = c.SetDeadline(time.Now().Add(time.Second))
			_ = tls.Client(c, hello).Handshake()
		},
		"HTTP2WithoutGRPC": func(c net.Conn) {
			_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		},
		"LongLine": func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte("A"), 4<<20)) },
	}
	const each = 20
	for _, at := range [][2]string{{"tcp", up[1]}, {"tcp", up[2]}, {"tcp", gossip}, {"unix", d.socket}} {
		for name, talk := range talks {
			for range each {
				conn, err := net.Dial(at[0], at[1])
				if err != nil {
					t.Fatalf("%s, %s: %v", at[1], name, err)
				}
				_ = conn.SetDeadline(time.Now().Add(2 * time.Second)) // what is not read any more
				talk(conn)
				conn.Close()
			}
		}
		// Datagrams as well.
		if at[1] == gossip {
			conn, err := net.Dial("udp", gossip)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 200 {
				_, _ = conn.Write(random(1+i*7, uint64(i)))
			}
			conn.Close()
		}
	}
	c.ok(t, "nodes")
	src := newTree(t, d.data).file("f", 1000)
	c.ok(t, "cp", "n1:"+src, "n1:"+src+"2")
	eventually(t, "the connections are gone", func() bool { return descriptors() <= before+4 })
	if lines := strings.Count(d.stderr.String()[logged:], "\n"); lines > 8*each {
		t.Errorf("%d lines of log for %d connections", lines, 4*len(talks)*each)
	}
}

// Calls and watches that are given up at once, thousands of them, leave nothing
// behind in the daemon.
func TestRapidlyCancelledCalls(t *testing.T) {
	t.Parallel()
	address := newAddress() + ":7443"
	c, _ := useFarm(t, 1, "--listen-http", address)
	goroutines := func() int {
		resp, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		m := regexp.MustCompile(`(?m)^go_goroutines (\d+)`).FindSubmatch(must(io.ReadAll(resp.Body))(t))
		if m == nil {
			t.Fatal("the metrics do not count goroutines")
		}
		n, _ := strconv.Atoi(string(m[1]))
		return n
	}
	api := c.dial(t)
	if _, err := api.ListNodes(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := goroutines()
	for i := range 3000 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { // ends with ctx
			defer close(done)
			for range api.WatchNodes(ctx) {
			}
		}()
		if i%3 == 0 {
			_, _ = api.WaitFor(ctx, "nodes/n1/transfers/none", time.Millisecond)
		}
		cancel()
		<-done
	}
	eventually(t, "the goroutines ended", func() bool { return goroutines() <= before+10 })
	if _, err := api.ListNodes(t.Context()); err != nil {
		t.Error(err)
	}
}
