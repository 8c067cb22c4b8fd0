package e2e

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/needs"
)

// The program whose region it is gets killed while a transfer writes into it: the
// lease begins and ends, the transfer is told, and the node goes on.
func TestRegionOwnerIsKilled(t *testing.T) {
	python := needs.Program(t, "python3")
	script := filepath.Join(t.TempDir(), "attach.py")
	if err := os.WriteFile(script, docProgram(t, "python"), 0o600); err != nil {
		t.Fatal(err)
	}
	cl, dirs, err := shared.dirs("owner")
	if err != nil {
		t.Fatal(err)
	}
	n := cl.nodes[0]
	api, err := client.Dial(n.server(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	name := client.RegionName(n.name, "owner")
	if _, err := api.CreateRegion(ctx, n.name, "owner", &xferv1.Region{SizeBytes: 64 << 20, Ttl: durationpb.New(time.Second)}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, python, script, n.socket, "owner")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if lines := bufio.NewScanner(out); !lines.Scan() || lines.Text() != "attached" {
		_ = cmd.Wait()
		t.Fatalf("it said %q first", lines.Text())
	}
	file := filepath.Join(dirs[1], "f")
	if err := os.WriteFile(file, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := client.Copy(cl.nodes[1].name, file, n.name, "")
	spec.Destination = client.RegionDestination("owner", 0)
	rate := int64(4 << 20) // it takes much longer than the lease
	spec.MaxBytesPerSecond = &rate
	sub, err := api.Submit(ctx, "", spec)
	if err != nil {
		t.Fatal(err)
	}
	if !poll(func() bool {
		g, err := api.GetRegion(ctx, name)
		return err == nil && g.GetOpenWrites() == 1
	}) {
		t.Fatal("nothing writes to the region")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	done, err := api.Wait(ctx, sub.GetName())
	if err != nil {
		t.Fatal(err)
	}
	if r := done.GetError().GetReason(); done.GetState() != xferv1.State_STATE_FAILED || r != "REGION_GONE" && r != "REGION_NOT_FOUND" {
		t.Errorf("the transfer is %v, with %v", done.GetState(), done.GetError())
	}
	if !poll(func() bool { _, err := api.GetRegion(ctx, name); return client.ReasonOf(err) == "REGION_NOT_FOUND" }) {
		t.Error("the region is there still")
	}
	if _, err := api.CreateRegion(ctx, n.name, "owner", &xferv1.Region{SizeBytes: 4096}); err != nil {
		t.Errorf("its name is not free: %v", err)
	}
	_ = api.DeleteRegion(ctx, name, true)
}
