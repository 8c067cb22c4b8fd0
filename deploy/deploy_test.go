package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xferd/xferd/test/needs"
)

// TestUnit lets systemd look for mistakes in the unit. The program that it
// starts is not on this machine; another one stands in for it.
func TestUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		needs.Missing(t, "the unit is NOT checked: systemd-analyze is not there (Debian: systemd)")
	}
	unit, err := os.ReadFile("xferd.service")
	if err != nil {
		t.Fatal(err)
	}
	const start = "ExecStart=/usr/local/bin/xferd "
	if !bytes.Contains(unit, []byte(start)) {
		t.Fatalf("the unit has no line that begins with %q", start)
	}
	unit = bytes.Replace(unit, []byte(start), []byte("ExecStart=/bin/true "), 1)
	path := filepath.Join(t.TempDir(), "xferd.service")
	if err := os.WriteFile(path, unit, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput()
	var ours []string
	for line := range strings.SplitSeq(string(out), "\n") {
		if strings.Contains(line, "xferd.service") {
			ours = append(ours, line) // other units of the machine may have mistakes too
		}
	}
	if len(ours) > 0 {
		t.Errorf("systemd-analyze verify (%v):\n%s", err, strings.Join(ours, "\n"))
	}
}

// TestUnitMatchesDefaults: what the unit makes is where the daemon looks.
func TestUnitMatchesDefaults(t *testing.T) {
	unit, err := os.ReadFile("xferd.service")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("xferd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ unit, example string }{
		{"RuntimeDirectory=xferd", "#socket: /run/xferd/xferd.sock"},
		{"StateDirectory=xferd", "#state_dir: /var/lib/xferd"},
		{"ReadWritePaths=/data", "{path: /data, mode: rw}"},
		{"RestartPreventExitStatus=74 78", "exit code 78"},
	} {
		if !bytes.Contains(unit, []byte("\n"+c.unit+"\n")) || !bytes.Contains(example, []byte(c.example)) {
			t.Errorf("xferd.service and xferd.yaml disagree about %q and %q", c.unit, c.example)
		}
	}
}

// TestUnitLetsRDMAIn: a unit that hides the device files, or lets nothing be pinned,
// leaves a node with RDMA on TCP for ever. ProtectClock= allows one device, and so
// forbids all that are not named.
func TestUnitLetsRDMAIn(t *testing.T) {
	unit, err := os.ReadFile("xferd.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"LimitMEMLOCK=infinity", "DeviceAllow=char-infiniband_verbs rw"} {
		if !bytes.Contains(unit, []byte("\n"+want+"\n")) {
			t.Errorf("the unit has no line %s", want)
		}
	}
	if bytes.Contains(unit, []byte("\nPrivateDevices=yes\n")) {
		t.Error("the unit hides /dev/infiniband: PrivateDevices=yes")
	}
}
