package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xferd/xferd/test/lab"
)

// A real tree between two nodes of one machine goes by RDMA alone, and the
// device has carried it.
func TestOneMachineCopiesByRDMA(t *testing.T) {
	lab.RequireInside(t)
	c, f := useFarm(t, 2)
	src, size := realTree(t, f.daemons[0].data)
	for _, policy := range []string{"rdma", "auto"} {
		dst := filepath.Join(f.daemons[1].data, policy)
		before, _ := packets(t)
		tr := c.transfer(t, 0, "cp", "--transport="+policy, "n1:"+src, "n2:"+dst)
		after, _ := packets(t)
		byRDMA(t, tr, size)
		if n := (after - before) * packetMTU; n < size {
			t.Errorf("the device sent %d packets, fewer than %d bytes need", after-before, size)
		}
		t.Logf("%s: %d bytes, the device sent %d packets", policy, size, after-before)
		equal(t, src, dst)
	}
	noTemps(t, f.daemons[1].data)
	addr := os.Getenv(lab.EnvAddr)
	r := c.ok(t, "explain", "n1:"+src, "n2:"+filepath.Join(f.daemons[1].data, "explained"))
	for _, want := range []string{
		"rdma (the best there is)", "n1 can:", "n2 can:", os.Getenv(lab.EnvDevice) + " port 1: ACTIVE, Ethernet, MTU 4096",
		"::ffff:" + addr + "  RoCE v2  choice 1", "no: link-local, cannot be routed",
		"routes of n1 to the RDMA addresses of n2:", addr + ": from " + addr,
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("explain does not say %q:\n%s", want, r)
		}
	}
}

// The network device goes away in the middle of a copy, for good: RDMA has only
// that one, control and TCP have another address. After it came back the daemons
// use it again.
func TestOneMachineLosesTheDevice(t *testing.T) {
	lab.RequireInside(t)
	c, f := useFarm(t, 2)
	size := faultSize(t)
	tree := newTree(t, f.daemons[0].data)
	src, dst := tree.file("big", size), filepath.Join(f.daemons[1].data, "big")
	name := c.detach(t, "cp", "n1:"+src, "n2:"+dst)
	c.landed(t, name, int64(size/4))
	fault := [2]time.Time{time.Now()}
	deleting, err := start("ip", os.Environ(), "ip", "link", "del", os.Getenv(lab.EnvNetdev))
	if err != nil {
		t.Fatal(err)
	}
	fault[1] = time.Now()
	tr := c.waitOver(t, name)
	// It waits for everybody to close the RDMA device: the driver cannot take one
	// out of a program's hands.
	if code, err := deleting.wait(); code != 0 || err != nil {
		t.Fatalf("ip link del: exit %d, %v", code, err)
	}
	fallBack(t, c, tr, int64(size), fault)
	equal(t, src, dst)
	noTemps(t, f.daemons[1].data)

	if r := c.exits(t, 14, "cp", "--transport=rdma", "n1:"+src, "n2:"+dst+"2"); r.code != 14 {
		t.Errorf("without a device: %s", r)
	}
	netdev := os.Getenv(lab.EnvNetdev)
	command(t, "ip", "link", "add", netdev, "mtu", "9000", "type", "veth", "peer", "name", "w0", "mtu", "9000")
	command(t, "ip", "link", "set", "w0", "up")
	command(t, "lab-rxe", os.Getenv(lab.EnvDevice), netdev, os.Getenv(lab.EnvAddr))
	small := tree.file("small", 3<<20)
	eventually(t, "the device that came back is used", func() bool {
		return c.run(t, "cp", "--transport=rdma", "n1:"+small, "n2:"+f.daemons[1].data+"/").code == 0
	})
	equal(t, small, filepath.Join(f.daemons[1].data, "small"))
}
