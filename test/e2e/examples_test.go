package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// envExamplesMiB is how many MiB of weights the parameter server pushes.
const envExamplesMiB = "XFER_EXAMPLES_MIB"

// leaseTime is how long after the death of a program its regions go. A program has to
// attach to what it made in that time, also on a machine that is busy.
const leaseTime = "4s"

// buildExamples returns where the examples are. In the lab they are with the programs.
var buildExamples = sync.OnceValues(func() (string, error) {
	if _, err := os.Stat(program("paramserver")); err == nil {
		return binDir, nil
	}
	dir := filepath.Join(scratch, "examples")
	if out, err := exec.Command("go", "build", "-o", dir+"/", "github.com/xferd/xferd/examples/...").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

// example runs a program of examples/ at a node until the end of the test.
func example(t testing.TB, title string, n *node, name string, args ...string) *process {
	t.Helper()
	dir, err := buildExamples()
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		at = 1 // behind the role
	}
	args = append(args[:at:at], append([]string{"-server", n.server()}, args[at:]...)...)
	p, err := start(title, environ(), filepath.Join(dir, name), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && p.signal(syscall.SIGQUIT) == nil { // where does it hang?
			<-p.done
		}
		p.kill()
		if t.Failed() {
			t.Logf("%s wrote:\n%s%s", title, p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// ends waits for the end of an example, and wants its exit code and a text in what
// it wrote.
func (p *process) ends(t testing.TB, code int, text string) {
	t.Helper()
	got, err := p.wait()
	if err != nil || got != code || !strings.Contains(p.stdout.String()+p.stderr.String(), text) {
		t.Errorf("%s ended with %d, %v; want %d and %q in\n%s%s", p.title, got, err, code, text, p.stdout.String(), p.stderr.String())
	}
}

// saw waits for a text in what an example writes.
func (p *process) saw(t testing.TB, text string) {
	t.Helper()
	eventually(t, p.title+" writes "+text, func() bool { return p.ended() || strings.Contains(p.stdout.String(), text) })
	if p.ended() {
		t.Fatalf("%s is over:\n%s%s", p.title, p.stdout.String(), p.stderr.String())
	}
}

// nothingLeft waits until no node has a region of an example any more, nor a transfer
// that is not over.
func nothingLeft(t testing.TB, n *node, id string) {
	t.Helper()
	c, err := client.Dial(n.server(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	of := func(region string) bool { return region == id || strings.HasPrefix(region, id+".") }
	eventually(t, "regions and transfers are over", func() bool {
		regions, _, err := c.ListRegions(t.Context(), client.AllNodes)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range regions {
			if _, region, err := client.ParseRegionName(r.GetName()); err != nil || of(region) {
				return false
			}
		}
		all, err := c.List(t.Context(), &xferv1.ListTransfersRequest{Parent: client.AllNodes, View: xferv1.TransferView_TRANSFER_VIEW_FULL})
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range all.Transfers {
			if of(tr.GetSpec().GetDestination().GetRegion().GetRegionId()) && !client.Over(tr) {
				return false
			}
		}
		return true
	})
}

// threeNodes are those of the cluster that tests share.
func threeNodes(t testing.TB) []*node {
	t.Helper()
	useShared(t)
	return shared.cluster.nodes
}

// team starts a parameter server and its two workers.
func team(t testing.TB, nodes []*node, id, mib, versions string) (server *process, workers [2]*process) {
	t.Helper()
	common := []string{"-id", id, "-ttl", leaseTime}
	server = example(t, "the server", nodes[0], "paramserver", append([]string{"serve", "-node", "n1", "-workers", "n2,n3", "-mib", mib, "-versions", versions}, common...)...)
	for i, n := range nodes[1:3] {
		workers[i] = example(t, "the worker on "+n.name, n, "paramserver", append([]string{"work", "-node", n.name, "-from", "n1"}, common...)...)
	}
	return server, workers
}

// The parameter server pushes some versions of its weights to two workers, which
// find each of them whole.
func TestExampleParamserver(t *testing.T) {
	t.Parallel()
	nodes := threeNodes(t)
	mib := os.Getenv(envExamplesMiB)
	if mib == "" {
		mib = "16"
	}
	server, workers := team(t, nodes, "ps", mib, "3")
	for _, w := range workers {
		w.ends(t, 0, "version 3 of 3: ")
	}
	server.ends(t, 0, "all workers have all 3 versions")
	t.Log(server.stdout.String())
	nothingLeft(t, nodes[0], "ps")
}

// A program that is killed ends the others with an error that names it, in the time
// of its lease. Its memory goes, and so do its transfers.
func TestExampleParamserverLosesAProgram(t *testing.T) {
	t.Parallel()
	nodes := threeNodes(t)
	const many = "1000000"
	t.Run("Worker", func(t *testing.T) {
		server, workers := team(t, nodes, "psw", "4", many)
		workers[1].saw(t, "version 2 of")
		workers[0].kill()
		// A push that is under way may fail first, with the name of the node too.
		server.ends(t, 1, "n2")
		workers[1].ends(t, 1, "the server on n1")
		nothingLeft(t, nodes[0], "psw")
	})
	t.Run("Server", func(t *testing.T) {
		server, workers := team(t, nodes, "pss", "4", many)
		workers[1].saw(t, "version 2 of")
		server.kill()
		for _, w := range workers {
			w.ends(t, 1, "n1")
		}
		nothingLeft(t, nodes[0], "pss")
	})
}

// two starts both ranks of the solver.
func two(t testing.TB, nodes []*node, id, ttl, steps string) (ranks [2]*process) {
	t.Helper()
	for i := range ranks {
		ranks[i] = example(t, fmt.Sprintf("rank %d", i), nodes[i], "stencil", "-rank", fmt.Sprint(i), "-nodes", "n1,n2", "-id", id,
			"-rows", "101", "-cols", "130", "-steps", steps, "-ttl", ttl)
	}
	return ranks
}

// Two processes compute what one computes, bit for bit.
func TestExampleStencil(t *testing.T) {
	t.Parallel()
	nodes := threeNodes(t)
	ranks := two(t, nodes, "st", leaseTime, "40")
	ranks[0].ends(t, 0, "bit for bit")
	ranks[1].ends(t, 0, "rank 1: 40 steps")
	t.Log(ranks[0].stdout.String())
	nothingLeft(t, nodes[0], "st")
}

func TestExampleStencilLosesARank(t *testing.T) {
	t.Parallel()
	nodes := threeNodes(t)
	for lost := range 2 {
		t.Run(fmt.Sprintf("Rank%d", lost), func(t *testing.T) {
			id := fmt.Sprintf("st%d", lost)
			ranks := two(t, nodes, id, leaseTime, "100000000")
			advances(t, nodes[1], client.RegionName("n2", id+".halo.1"), 5)
			ranks[lost].kill()
			ranks[1-lost].ends(t, 1, "stencil: ")
			nothingLeft(t, nodes[0], id)
		})
	}
}

// advances waits until so many rows more came into a region.
func advances(t testing.TB, n *node, region string, rows uint64) {
	t.Helper()
	c, err := client.Dial(n.server(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var first uint64
	eventually(t, region+" is written", func() bool {
		r, err := c.GetRegion(t.Context(), region)
		if err != nil || r.GetGeneration() == 0 {
			return false
		}
		if first == 0 {
			first = r.GetGeneration()
		}
		return r.GetGeneration() >= first+rows
	})
}

// A node that is killed and started again holds up the solver, and does not change
// its answer.
func TestExampleStencilOutlivesADaemon(t *testing.T) {
	t.Parallel()
	_, f := useFarm(t, 2)
	nodes := []*node{&f.daemons[0].node, &f.daemons[1].node}
	ranks := two(t, nodes, "st", "60s", "3000")
	for _, d := range f.daemons {
		advances(t, nodes[1], client.RegionName("n2", "st.halo.1"), 5)
		d.kill()
		if err := f.up(d); err != nil {
			t.Fatal(err)
		}
	}
	ranks[0].ends(t, 0, "bit for bit")
	t.Log(ranks[0].stdout.String())
	ranks[1].ends(t, 0, "rank 1: 3000 steps")
	nothingLeft(t, nodes[0], "st")
}

// The lines of the manuals work as they stand, but for the directories, and for the
// size.
func TestExampleReadmes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"paramserver": "all workers have all 5 versions", "stencil": "bit for bit"} {
		t.Run(name, func(t *testing.T) {
			nodes := threeNodes(t)
			text := string(must(os.ReadFile("../../examples/" + name + "/README.md"))(t))
			_, script, _ := strings.Cut(text, "\n```sh\ngo build -o bin/ ./examples/...\n")
			script, _, ok := strings.Cut(script, "```")
			if !ok {
				t.Fatal("the manual has no script")
			}
			dir := must(buildExamples())(t)
			script = strings.NewReplacer("bin/", dir+"/", "/tmp/xferd-dev", filepath.Dir(nodes[0].socket), "-mib 1024", "-mib 4", "-steps 200", "-steps 20").Replace(script)
			sh := exec.CommandContext(t.Context(), "sh", "-ec", script)
			sh.Env, sh.SysProcAttr = environ(), &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			if out, err := sh.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%v, want %q in\n%s\nof\n%s", err, want, out, script)
			}
		})
	}
}
