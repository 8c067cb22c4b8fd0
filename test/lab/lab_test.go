package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// must runs a job that gets to its end, and shows how long each step took.
func must(t *testing.T, job Job) Result {
	t.Helper()
	Require(t)
	if testing.Verbose() {
		job.Output = t.Output()
	}
	began := time.Now()
	res, err := Run(t.Context(), job)
	for _, m := range res.Machines {
		t.Logf("machine %s: %v", m.Role, m.Phases)
		if len(m.Trouble) > 0 {
			t.Errorf("kernel of machine %s: %q", m.Role, m.Trouble)
		}
	}
	t.Logf("%v as a whole, %v of it waiting for others", time.Since(began).Round(10*time.Millisecond), res.Waited.Round(10*time.Millisecond))
	if err != nil {
		for _, m := range res.Machines {
			t.Logf("machine %s printed:\n%s", m.Role, m.Output)
		}
		t.Fatal(err)
	}
	return res
}

// TestTrivialRun is what the lab is for: a real device, and bytes through it.
func TestTrivialRun(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "job.sh")
	if err := os.WriteFile(script, []byte(`
rdma link
ibv_devinfo -d rxe0
ib_write_bw -d rxe0 -x 1 -s 65536 -n 100 >/tmp/server 2>&1 &
lab-listening 18515
ib_write_bw -d rxe0 -x 1 -s 65536 -n 100 "$XFER_LAB_ADDR" || exit 1
wait
echo "the guest was here" >/tmp/new
cp /tmp/new "$XFER_LAB_OUT/file"
touch `+dir+`/visible-in-the-guest-only
echo to stderr >/dev/stderr
kill -SEGV $$
`), 0o755); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	res := must(t, Job{Cmd: []string{"sh", script}, OutDir: out, Timeout: 4 * time.Minute})
	text := string(res.Machines[0].Output)
	for _, want := range []string{"link rxe0/1 state ACTIVE", "PORT_ACTIVE (4)", "active_mtu:\t\t4096 (5)", "#bytes", "65536      100", "to stderr"} {
		if !strings.Contains(text, want) {
			t.Errorf("the output has no %q:\n%s", want, text)
		}
	}
	if res.ExitCode != 128+11 {
		t.Errorf("exit code %d, want that of a SIGSEGV", res.ExitCode)
	}
	if got, err := os.ReadFile(filepath.Join(out, "file")); err != nil || string(got) != "the guest was here\n" {
		t.Errorf("the file that the guest wrote: %q, %v", got, err)
	}
	left, err := os.ReadDir(out)
	if err != nil || len(left) != 1 {
		t.Errorf("the output directory has %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "visible-in-the-guest-only")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the guest changed the host's root: %v", err)
	}
}

// TestTwoMachines has real packets on a wire: they can be counted, dropped, and
// held up by a peer that is frozen.
func TestTwoMachines(t *testing.T) {
	const both = `
set -e
bw="ib_write_bw -d rxe0 -x 1 -s 65536 -n 50"
sent() { cat /sys/class/infiniband/rxe0/ports/1/hw_counters/sent_pkts; }
case $XFER_LAB_ROLE in
A)
	($bw >/tmp/server 2>&1; echo $? >/tmp/code) &
	lab-listening 18515
	lab-meet server
	wait
	cat /tmp/server /tmp/code
	lab-meet measured
	nft add table ip x
	nft add chain ip x in '{ type filter hook prerouting priority -300; }'
	nft add rule ip x in udp dport 4791 counter drop
	$bw >/tmp/dropped 2>&1 &
	lab-listening 18515
	lab-meet dropping
	lab-meet over
	nft list ruleset | grep -o 'packets [1-9][0-9]*'
	;;
B)
	lab-meet server
	before=$(sent)
	$bw "$XFER_LAB_PEER"
	echo "sent $(($(sent) - before)) packets"
	lab-meet measured
	lab-meet dropping
	code=0
	timeout 3 $bw --qp-timeout=8 "$XFER_LAB_PEER" || code=$? # it retries for ever
	echo "ended with $code"
	lab-host pause A 1
	lab-meet over
	exit 9
	;;
esac`
	res := must(t, Job{VMs: 2, Cmd: []string{"sh", "-c", both}, Timeout: 5 * time.Minute})
	if res.Machines[0].ExitCode != 0 || res.Machines[1].ExitCode != 9 || res.ExitCode != 9 {
		t.Errorf("exit codes %d and %d, together %d; want 0, 9 and 9", res.Machines[0].ExitCode, res.Machines[1].ExitCode, res.ExitCode)
	}
	for n, wants := range [][]string{{"65536      50", "packets "}, {"65536      50", "sent ", "ended with 124"}} {
		for _, want := range wants {
			if text := string(res.Machines[n].Output); !strings.Contains(text, want) {
				t.Errorf("the output of machine %s has no %q:\n%s", res.Machines[n].Role, want, text)
			}
		}
	}
}

// TestFrozenMachine has one that is silent, by the word of the host and of its
// peer, and one that fails.
func TestFrozenMachine(t *testing.T) {
	Require(t)
	defer func(d time.Duration) { grace = d }(grace)
	grace = 200 * time.Millisecond
	out := t.TempDir()
	const both = `
case $XFER_LAB_ROLE in
A) while :; do date +%s.%N >>"$XFER_LAB_OUT/alive"; sleep 0.05; done ;;
B)
	ticks() { wc -l <"$XFER_LAB_OUT/alive"; }
	until [ -s "$XFER_LAB_OUT/alive" ]; do sleep 0.05; done
	lab-host stop A; sleep 0.5
	one=$(ticks); sleep 1; two=$(ticks)
	lab-host cont A; sleep 1
	echo "frozen $((two - one)), then $(($(ticks) - two > 0))"
	exit 3 ;;
esac`
	r, err := Start(t.Context(), Job{VMs: 2, Cmd: []string{"sh", "-c", both}, OutDir: out})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Stop("A"), r.Continue("A")); err != nil {
		t.Error(err)
	}
	if err := r.Stop("C"); err == nil {
		t.Error("a machine C was stopped")
	}
	res, err := r.Wait()
	if err == nil || !strings.Contains(err.Error(), "after the other one's command failed") {
		t.Errorf("error %v", err)
	}
	if got := string(res.Machines[1].Output); got != "frozen 0, then 1\n" || res.Machines[1].ExitCode != 3 || res.Machines[0].ExitCode != -1 {
		t.Errorf("%q, exit codes %d and %d", got, res.Machines[0].ExitCode, res.Machines[1].ExitCode)
	}
	if err := r.Stop("A"); err == nil {
		t.Error("a machine was stopped after the end")
	}
}

// TestEndsLeaveNothing ends runs in every way that is not the job's own, and has
// goleak and the process table look.
func TestEndsLeaveNothing(t *testing.T) {
	Require(t)
	var work string
	ctx, cancel := context.WithCancel(t.Context())
	for _, c := range []struct {
		name string
		run  func() error
		want error
	}{
		{"timeout", func() error {
			_, err := Run(t.Context(), Job{Cmd: []string{"true"}, Timeout: 300 * time.Millisecond})
			return err
		}, context.DeadlineExceeded},
		{"cancel", func() error {
			r, err := Start(ctx, Job{VMs: 2, Cmd: []string{"true"}})
			if err != nil {
				return err
			}
			work = r.work
			cancel()
			_, err = r.Wait()
			return err
		}, context.Canceled},
		{"cancelled before", func() error {
			_, err := Run(ctx, Job{Cmd: []string{"true"}})
			return err
		}, context.Canceled},
	} {
		if err := c.run(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if left := qemus(t); len(left) > 0 {
			t.Errorf("%s: processes %v are left", c.name, left)
		}
	}
	if _, err := os.Stat(work); work == "" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the run's directory %q: %v", work, err)
	}
}

// TestKernelPanic has the kernel's last words in the error.
func TestKernelPanic(t *testing.T) {
	Require(t)
	res, err := Run(t.Context(), Job{Cmd: []string{"sh", "-c", "echo before; echo c >/proc/sysrq-trigger"}})
	if err == nil || !strings.Contains(err.Error(), "sysrq triggered crash") || res.ExitCode != -1 {
		t.Errorf("exit code %d, error %v", res.ExitCode, err)
	}
	if m := res.Machines[0]; string(m.Output) != "before\n" || len(m.Trouble) == 0 {
		t.Errorf("output %q, trouble %q", m.Output, m.Trouble)
	}
}

// qemus are the machines that this process started.
func qemus(t *testing.T) []string {
	status, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	ours := fmt.Appendf(nil, "\nPPid:\t%d\n", os.Getpid())
	var found []string
	for _, path := range status {
		text, err := os.ReadFile(path)
		if err == nil && bytes.HasPrefix(text, []byte("Name:\tqemu")) && bytes.Contains(text, ours) {
			found = append(found, filepath.Base(filepath.Dir(path)))
		}
	}
	return found
}

// TestPackageTests runs tests of this package in the lab.
func TestPackageTests(t *testing.T) {
	res := RunTests(t, TestJob{Run: "^TestInside"})
	if out := string(res.Machines[0].Output); !strings.Contains(out, "TestInsideSeesTheDevice") || !strings.Contains(out, "TestInsideSkips") {
		t.Errorf("the tests did not run:\n%s", out)
	}
}

func TestInsideSeesTheDevice(t *testing.T) {
	RequireInside(t)
	if _, err := os.Stat("/sys/class/infiniband/" + os.Getenv(EnvDevice)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("guest/init.sh"); err != nil {
		t.Errorf("not in the directory of the package: %v", err)
	}
	if err := os.WriteFile(filepath.Join(t.TempDir(), "f"), []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
}

func TestInsideSkips(t *testing.T) {
	RequireInside(t)
	t.Skip("to see that a skip comes out as one")
}
