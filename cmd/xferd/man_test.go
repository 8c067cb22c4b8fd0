package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The pages have every flag and every line of the example, and no line of them
// is a request by mistake.
func TestManPages(t *testing.T) {
	dir := t.TempDir()
	const example = "../../deploy/xferd.yaml"
	var stdout, stderr bytes.Buffer
	if code := run([]string{"man", "--dir", dir, "--example", example}, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit %d\n%s", code, &stderr)
	}
	for page, wants := range map[string][]string{
		"man8/xferd.8":      {".SH OPTIONS", `\fB\-\-listen\-control\fR`, `\fB\-\-config\fR`, "throw\\-away cluster", `xferd state restore [\-\-node NAME] DIR FILE`},
		"man5/xferd.yaml.5": {"xferd.yaml", `  \- {path: /data, mode: rw}`, "#gossip: \"127.0.0.1:7442\""},
	} {
		b, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(b), want) {
				t.Errorf("%s: no %q", page, want)
			}
		}
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !strings.HasPrefix(line, ".SH ") &&
				!strings.Contains(".nf .fi .PP .TP .BR .TH", strings.Fields(line)[0]) {
				t.Errorf("%s: %q", page, line)
			}
		}
	}
	if code := run([]string{"man"}, &stdout, &stderr); code != exitUsage {
		t.Errorf("without anything: exit %d", code)
	}
}
