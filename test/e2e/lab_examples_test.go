package e2e

import (
	"strings"
	"testing"

	"github.com/xferd/xferd/test/lab"
)

// The examples go over RDMA, from memory of one program into that of another: the
// device carries every byte of the weights.
func TestOneMachineRunsTheExamples(t *testing.T) {
	lab.RequireInside(t)
	_, f := useFarm(t, 3)
	var nodes []*node
	for _, d := range f.daemons {
		nodes = append(nodes, &d.node)
	}
	const size = 2 * 3 * 8 << 20 // to two workers, of three versions
	before, _ := packets(t)
	server, workers := team(t, nodes, "ps", "8", "3")
	for _, w := range workers {
		w.ends(t, 0, "version 3 of 3: ")
	}
	server.ends(t, 0, "all workers have all 3 versions")
	after, _ := packets(t)
	if n := (after - before) * packetMTU; n < size || !strings.Contains(server.stdout.String(), " by rdma ") {
		t.Errorf("the device sent %d packets, and %d bytes need more, or a version went in another way", after-before, size)
	}
	t.Logf("the device sent %d packets\n%s", after-before, server.stdout.String())

	ranks := two(t, nodes, "st", leaseTime, "40")
	ranks[0].ends(t, 0, "with rows by rdma")
	ranks[1].ends(t, 0, "with rows by rdma")
	t.Log(ranks[0].stdout.String())
	nothingLeft(t, nodes[0], "ps")
	nothingLeft(t, nodes[0], "st")
}
