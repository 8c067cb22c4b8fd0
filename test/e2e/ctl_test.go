package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// ctl is xferctl that talks to one server.
type ctl struct {
	server string
}

// result is what one run of xferctl gave.
type result struct {
	args           []string
	code           int
	stdout, stderr string
}

func (r *result) String() string {
	return fmt.Sprintf("xferctl %q: exit %d\n%s%s", r.args, r.code, r.stdout, r.stderr)
}

// run runs xferctl to its end.
func (c *ctl) run(t testing.TB, args ...string) *result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program("xferctl"), args...)
	cmd.Env = environ("XFERCTL_SERVER=" + c.server)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := &result{args: args, stdout: stdout.String(), stderr: stderr.String()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("xferctl did not end\n%s", r)
	case errors.As(err, &exit):
		r.code = exitCode(exit.ProcessState)
	case err != nil:
		t.Fatal(err)
	}
	if strings.Contains(r.stderr, "goroutine ") {
		t.Fatalf("xferctl shows its inside\n%s", r)
	}
	return r
}

// ok runs xferctl, which must succeed.
func (c *ctl) ok(t testing.TB, args ...string) *result {
	t.Helper()
	return c.exits(t, 0, args...)
}

// exits runs xferctl, which must end with the code.
func (c *ctl) exits(t testing.TB, code int, args ...string) *result {
	t.Helper()
	r := c.run(t, args...)
	if r.code != code {
		t.Fatalf("exit %d is wanted\n%s", code, r)
	}
	if r.code == 0 && strings.Contains(r.stderr, "xferctl: error") {
		t.Fatalf("an error is printed, and the exit code is 0\n%s", r)
	}
	return r
}

// transfer runs a copy with -o json, and returns the transfer as it ended.
func (c *ctl) transfer(t testing.TB, code int, args ...string) *xferv1.Transfer {
	t.Helper()
	r := c.exits(t, code, append(args, "-o", "json")...)
	e, err := endEvent(r.stdout)
	if err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return c.get(t, e["name"].(string))
}

func (c *ctl) dial(t testing.TB) *client.Client {
	t.Helper()
	api, err := client.Dial(c.server, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.Close() })
	return api
}

func (c *ctl) get(t testing.TB, name string) *xferv1.Transfer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tr, err := c.dial(t).Get(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// detach submits a copy that the test goes on beside, and returns its name.
func (c *ctl) detach(t testing.TB, args ...string) string {
	t.Helper()
	return strings.TrimSpace(c.ok(t, append(args, "--detach")...).stdout)
}

// waitOver waits for the end of a transfer.
func (c *ctl) waitOver(t testing.TB, name string) *xferv1.Transfer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	tr, err := c.dial(t).Wait(ctx, name)
	if err != nil {
		t.Fatalf("wait for %s: %v", name, err)
	}
	return c.get(t, tr.GetName())
}

// until waits until a transfer is as ok says; it fails when it is over before.
func (c *ctl) until(t testing.TB, name, what string, ok func(*xferv1.Transfer) bool) *xferv1.Transfer {
	t.Helper()
	api := c.dial(t)
	var last *xferv1.Transfer
	eventually(t, what, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		tr, err := api.Get(ctx, name)
		if err != nil {
			return false // a node may be down for a while
		}
		if last = tr; ok(tr) {
			return true
		}
		if client.Over(tr) {
			t.Fatalf("the transfer is over before: %s\n%v", what, tr)
		}
		return false
	})
	return last
}

// landed waits until so many bytes are at the target, but not all.
func (c *ctl) landed(t testing.TB, name string, bytes int64) {
	t.Helper()
	c.until(t, name, fmt.Sprintf("%d bytes are done", bytes), func(tr *xferv1.Transfer) bool {
		return tr.GetCounters().GetBytesDone() >= bytes
	})
}

func moved(tr *xferv1.Transfer) int64 {
	var sum int64
	for _, n := range tr.GetCounters().GetBytesMoved() {
		sum += n
	}
	return sum
}

// reasonOf is why a transfer did not succeed, or why its first entry failed.
func reasonsOf(tr *xferv1.Transfer) []string {
	out := []string{tr.GetError().GetReason()}
	for _, f := range tr.GetFailures() {
		out = append(out, f.GetError().GetReason())
	}
	return out
}

// events reads NDJSON.
func events(stdout string) ([]map[string]any, error) {
	var out []map[string]any
	for l := range strings.Lines(stdout) {
		e := map[string]any{}
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			return nil, fmt.Errorf("line %q: %w", l, err)
		}
		if e["event"] == nil {
			return nil, fmt.Errorf("line %q has no event", l)
		}
		out = append(out, e)
	}
	return out, nil
}

// endEvent is the last event, which must be the end.
func endEvent(stdout string) (map[string]any, error) {
	all, err := events(stdout)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 || all[len(all)-1]["event"] != "end" {
		return nil, errors.New("the last event is not the end")
	}
	return all[len(all)-1], nil
}
