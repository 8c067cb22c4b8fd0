package e2e

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/xferd/xferd/test/lab"
)

// counted is how many bytes of RoCE came in since count was called.
func count(t testing.TB) {
	t.Helper()
	command(t, "nft", "add", "table", "ip", "xfer")
	command(t, "nft", "add", "chain", "ip", "xfer", "in", "{ type filter hook prerouting priority -300; }")
	command(t, "nft", "add", "rule", "ip", "xfer", "in", "udp", "dport", "4791", "counter")
	t.Cleanup(func() { command(t, "nft", "delete", "table", "ip", "xfer") })
}

func counted(t testing.TB) int64 {
	t.Helper()
	m := regexp.MustCompile(`counter packets \d+ bytes (\d+)`).FindStringSubmatch(command(t, "nft", "list", "chain", "ip", "xfer", "in"))
	if m == nil {
		t.Fatal("no counter")
	}
	return must(strconv.ParseInt(m[1], 10, 64))(t)
}

// A real tree between two machines goes by RDMA alone: the packets left one
// device, came in at the other, and passed the wire.
func TestTwoMachinesCopyByRDMA(t *testing.T) {
	c, _, own, peer := pairNode(t)
	if os.Getenv(lab.EnvRole) == "B" {
		count(t)
		_, before := packets(t)
		meet(t, "counting")
		meet(t, "copied")
		_, after := packets(t)
		size := must(strconv.ParseInt(told(t, "A", "size"), 10, 64))(t)
		if n, wire := (after-before)*packetMTU, counted(t); n < size || wire < size {
			t.Errorf("of %d bytes, %d packets came in, %d bytes on the wire", size, after-before, wire)
		} else {
			t.Logf("of %d bytes, %d packets came in, %d bytes on the wire", size, after-before, wire)
		}
		tell(t, "summary", summary(t, filepath.Join(own, "tree")))
		noTemps(t, own)
		meet(t, "compared")
		return
	}
	src, size := realTree(t, own)
	tell(t, "size", strconv.FormatInt(size, 10))
	meet(t, "counting")
	before, _ := packets(t)
	tr := c.transfer(t, 0, "cp", "--transport=rdma", "n1:"+src, "n2:"+peer+"/")
	after, _ := packets(t)
	meet(t, "copied")
	byRDMA(t, tr, size)
	if (after-before)*packetMTU < size {
		t.Errorf("the device sent %d packets for %d bytes", after-before, size)
	}
	meet(t, "compared")
	if mine, theirs := summary(t, src), told(t, "B", "summary"); mine != theirs {
		t.Errorf("the trees differ: here\n%.3000s\nthere\n%.3000s", mine, theirs)
	}
}

// await waits for a word of the other machine, without a program to start: a fault
// is to be known to the moment.
func await(t testing.TB, role, what string) {
	t.Helper()
	path := filepath.Join(os.Getenv(lab.EnvOut), t.Name()+"."+what+"."+role)
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%s does not say %q", role, what)
		}
	}
}

// In the middle of a copy the network begins to drop RoCE, and nothing else.
func TestTwoMachinesDropRoCE(t *testing.T) {
	c, _, own, peer := pairNode(t)
	if os.Getenv(lab.EnvRole) == "B" {
		count(t)
		nft := exec.Command("nft", "-f", "-") // is ready, and waits for its rules
		rules := must(nft.StdinPipe())(t)
		if err := nft.Start(); err != nil {
			t.Fatal(err)
		}
		meet(t, "ready to drop")
		await(t, "A", "quarter")
		_, err := io.WriteString(rules, "add rule ip xfer in udp dport 4791 drop\n")
		if err := errors.Join(err, rules.Close(), nft.Wait()); err != nil {
			t.Error(err)
		}
		tell(t, "dropping", "")
		meet(t, "copied")
		tell(t, "summary", summary(t, filepath.Join(own, "dir")))
		noTemps(t, own)
		meet(t, "compared")
		return
	}
	size := faultSize(t)
	src := newTree(t, own)
	src.file("dir/big", size)
	meet(t, "ready to drop")
	name := c.detach(t, "cp", "n1:"+src.path("dir"), "n2:"+peer+"/")
	c.landed(t, name, int64(size/4))
	// The clocks of two machines differ: the fault is between what this one asks
	// for and what it hears.
	fault := [2]time.Time{time.Now()}
	tell(t, "quarter", "")
	await(t, "B", "dropping")
	fault[1] = time.Now()
	tr := c.waitOver(t, name)
	fallBack(t, c, tr, int64(size), fault)
	meet(t, "copied")
	meet(t, "compared")
	if mine, theirs := summary(t, src.path("dir")), told(t, "B", "summary"); mine != theirs {
		t.Errorf("the trees differ: here\n%.3000s\nthere\n%.3000s", mine, theirs)
	}
}
