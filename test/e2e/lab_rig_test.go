package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/lab"
)

// envFaultSize is the size in MiB of the file during whose copy a fault happens.
const envFaultSize = "XFER_LAB_FAULT_MIB"

// envGoroot is where the host has Go's sources.
const envGoroot = "XFER_LAB_GOROOT"

func faultSize(t testing.TB) int {
	t.Helper()
	mib := 256
	if s := os.Getenv(envFaultSize); s != "" {
		var err error
		if mib, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	return mib << 20
}

// command runs a program of the lab.
func command(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// packets is how many the RDMA device of this machine has sent and received.
// None has more payload than the largest path MTU, 4096 bytes.
func packets(t testing.TB) (sent, received int64) {
	t.Helper()
	read := func(name string) int64 {
		b, err := os.ReadFile("/sys/class/infiniband/" + os.Getenv(lab.EnvDevice) + "/ports/1/hw_counters/" + name)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return read("sent_pkts"), read("rcvd_pkts")
}

const packetMTU = 4096

// realTree copies a part of what every machine with Go has: many small files in
// many directories, a few MB in all. A larger file is beside it.
func realTree(t testing.TB, root string) (dir string, size int64) {
	t.Helper()
	tr := newTree(t, root)
	goroot := os.Getenv(envGoroot)
	for _, sub := range []string{"encoding", "net", "compress", "text"} {
		tr.must(os.CopyFS(tr.path("tree/"+sub), os.DirFS(filepath.Join(goroot, "src", sub))))
	}
	tr.file("tree/large", 24<<20+12345)
	tr.symlink("large", "tree/link")
	tr.dir("tree/empty")
	err := filepath.Walk(tr.path("tree"), func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return err
	})
	tr.must(err)
	return tr.path("tree"), size
}

// byRDMA checks that all bytes of a transfer went by RDMA.
func byRDMA(t testing.TB, tr *xferv1.Transfer, size int64) {
	t.Helper()
	m, p := tr.GetCounters().GetBytesMoved(), tr.GetDataPath()
	if len(m) != 1 || m["rdma"] != size || p.GetTransport() != "rdma" || p.GetReason() != "" || len(p.GetFallbacks()) != 0 {
		t.Errorf("%d bytes were to go by rdma alone: moved %v, path %v", size, m, p)
	}
}

// fallBack checks the one change of transport of a transfer in whose middle RDMA
// was lost, and that nothing that had landed went again. The fault came between
// two times.
func fallBack(t testing.TB, c *ctl, tr *xferv1.Transfer, size int64, fault [2]time.Time) {
	t.Helper()
	p, m := tr.GetDataPath(), tr.GetCounters().GetBytesMoved()
	if tr.GetState() != xferv1.State_STATE_SUCCEEDED || p.GetTransport() != "tcp" || len(p.GetFallbacks()) == 0 {
		t.Fatalf("the end: %v", tr)
	}
	f := p.GetFallbacks()[0] // others are tries to go back
	if f.GetFrom() != "rdma" || f.GetTo() != "tcp" || f.GetReason() == "" || f.GetDetail() == "" {
		t.Errorf("fall-back %v, path %v", f, p)
	}
	// What the target has put in place it has put there once. What was on its way
	// when the device broke may have left the source twice.
	if got := p.GetTarget().GetBytes(); got != size {
		t.Errorf("the target placed %d bytes of %d", got, size)
	}
	const window = 8 * 4 << 20
	if m["rdma"] == 0 || m["tcp"] == 0 || m["rdma"]+m["tcp"] < size || m["rdma"]+m["tcp"] > size+window {
		t.Errorf("moved %v of %d", m, size)
	}
	after := f.GetTime().AsTime()
	least, most := after.Sub(fault[1]), after.Sub(fault[0])
	t.Logf("fall-back %.2f to %.2f s after the fault (%s: %s); moved %v, target placed %d in %d chunks, %d bytes left twice", least.Seconds(), most.Seconds(),
		f.GetReason(), f.GetDetail(), m, p.GetTarget().GetBytes(), p.GetTarget().GetChunks(), m["rdma"]+m["tcp"]-size)
	// The limit of the design is 5 s; the rest is for a machine that emulates a
	// processor beside other work.
	if most < 0 || least > 30*time.Second {
		t.Errorf("the fall-back came %s after the fault", least)
	}
	if r := c.ok(t, "transfers", "show", tr.GetName()); !strings.Contains(r.stdout, "from rdma to tcp: "+f.GetReason()) {
		t.Errorf("it is not shown:\n%s", r)
	}
}

// pairNode starts the daemon of this machine, n1 on A and n2 on B, and waits for
// the other. It returns the exports of both.
func pairNode(t testing.TB, more ...string) (c *ctl, f *farm, own, peer string) {
	t.Helper()
	lab.RequireInside(t)
	role, addr := os.Getenv(lab.EnvRole), os.Getenv(lab.EnvAddr)
	name, other := "n1", "B"
	f = &farm{dir: newDir(t)}
	if role == "B" {
		name, other = "n2", "A"
		f.gossip = os.Getenv(lab.EnvPeer) + ":7442"
	}
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() && len(f.daemons) > 0 && f.daemons[0].process != nil {
			f.daemons[0].show(t)
		}
	})
	more = append([]string{"--advertise", addr, "--listen-control", addr + ":0", "--listen-data", addr + ":0", "--listen-gossip", addr + ":7442", "--insecure"}, more...)
	if role == "B" {
		meet(t, "first is up")
	}
	if err := f.add(name, more...); err != nil {
		t.Fatal(err)
	}
	if role == "A" {
		meet(t, "first is up")
	}
	d := f.daemons[0]
	tell(t, "data", d.data)
	meet(t, "both are up")
	c = &ctl{server: d.server()}
	eventually(t, "the other node is seen", func() bool {
		nodes, err := c.dial(t).ListNodes(t.Context())
		alive := 0
		for _, n := range nodes {
			if n.GetState() == xferv1.NodeState_NODE_STATE_ALIVE {
				alive++
			}
		}
		return err == nil && alive == 2
	})
	return c, f, d.data, told(t, other, "data")
}

// meet waits until the other machine is at the same place of the same test.
func meet(t testing.TB, place string) {
	t.Helper()
	command(t, "lab-meet", t.Name()+"."+strings.ReplaceAll(place, " ", "-"))
}

// tell leaves a word for the other machine, told reads it after they met.
func tell(t testing.TB, what, text string) {
	t.Helper()
	path := filepath.Join(os.Getenv(lab.EnvOut), t.Name()+"."+what+"."+os.Getenv(lab.EnvRole))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func told(t testing.TB, role, what string) string {
	t.Helper()
	return string(must(os.ReadFile(filepath.Join(os.Getenv(lab.EnvOut), t.Name()+"."+what+"."+role)))(t))
}

// summary has a line for each entry of a tree, with its digest, so that two
// machines can compare theirs.
func summary(t testing.TB, root string) string {
	t.Helper()
	var lines []string
	for name, f := range must(survey(root, nil))(t) {
		f.blocks = 0
		lines = append(lines, fmt.Sprintf("%q %+v", name, f))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
