package e2e

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/xferd/xferd/api/client"
)

func init() {
	commands["memory"] = cmdMemory
	commands["generation"] = cmdGeneration
}

// attachRegion attaches a region of a node of the script, as a program does.
func attachRegion(ts *testscript.TestScript, node, id string) (g *client.Region, done func()) {
	c, err := client.Dial(ts.Getenv("s"+node), client.Options{})
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	g, err = c.AttachRegion(ctx, id, client.AttachOptions{ReadOnly: true})
	if err != nil {
		cancel()
		ts.Fatalf("attach %s of node %s: %v", id, node, err)
	}
	return g, func() {
		_ = g.Close()
		_ = c.Close()
		cancel()
	}
}

// memory NODE REGION OFFSET FILE   the region of the node (1, 2, 3) has the bytes of
// the file from that offset on.
func cmdMemory(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: memory NODE REGION OFFSET FILE")
	}
	off, err := strconv.Atoi(args[2])
	ts.Check(err)
	want, err := os.ReadFile(ts.MkAbs(args[3]))
	ts.Check(err)
	g, done := attachRegion(ts, args[0], args[1])
	defer done()
	mem := g.Bytes()
	same := off+len(want) <= len(mem) && bytes.Equal(mem[off:off+len(want)], want)
	if same == neg {
		ts.Fatalf("region %s at %d is that of %s: %v", args[1], off, args[3], same)
	}
}

// generation NODE REGION N   the region was written so many times since it was made.
func cmdGeneration(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) == 3, "generation NODE REGION N")
	want, err := strconv.ParseUint(args[2], 10, 64)
	ts.Check(err)
	g, done := attachRegion(ts, args[0], args[1])
	defer done()
	if got := g.Generation(); got != want {
		ts.Fatalf("generation %d of region %s, want %d", got, args[1], want)
	}
}
