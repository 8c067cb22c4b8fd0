package config

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "xferd.yaml")
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func flags(t *testing.T, args ...string) Flags {
	t.Helper()
	var f Flags
	fs := flag.NewFlagSet("xferd", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f.Define(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f
}

const good = `
name: n1
exports: [{path: data, mode: rw}, "/ref:ro"]
listen: {control: "127.0.0.1:0"}
labels: {rack: r1}
times: {stall: 90s}
buffer_memory: 128MiB
`

func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	p := write(t, good)
	c, warnings, err := Load(p, flags(t, "--name=n3", "--export=/x:rw", "--insecure"),
		[]string{"XFERD_NAME=n2", "XFERD_CLUSTER=c2", "XFERD_TYPO=1", "XFERD_JOIN=a:1,b:2", "PATH=x"}, "/cwd")
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "n3" || c.Cluster != "c2" || !c.Insecure || c.Times.Stall != 90*time.Second || c.BufferMemory != 128<<20 {
		t.Errorf("merged to %+v", c)
	}
	if len(c.Exports) != 1 || c.Exports[0] != (Export{"/x", "rw"}) {
		t.Errorf("exports of the command line do not replace those of the file: %v", c.Exports)
	}
	if len(c.Join) != 2 || c.Labels["rack"] != "r1" {
		t.Errorf("join %v, labels %v", c.Join, c.Labels)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "XFERD_TYPO") {
		t.Errorf("warnings %q", warnings)
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	p := write(t, good)
	c, _, err := Load(p, Flags{}, nil, "/cwd")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(filepath.Dir(p), "data"); c.Exports[0].Path != want {
		t.Errorf("export %s, want %s", c.Exports[0].Path, want)
	}
}

func TestFileMistakes(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "naem: n1\n", "1:1: unknown key naem; did you mean name?"},
		{"unknown nested key", "name: n1\nlisten:\n  contrl: x\n", "3:3: unknown key listen.contrl; did you mean listen.control?"},
		{"twice", "name: a\nname: b\n", "name"},
		{"list for a scalar", "name: [a, b]\n", "takes one value"},
		{"scalar for a section", "listen: 7\n", "listen must be a list of keys and values"},
		{"bad duration", "times: {stall: 10}\n", "not a duration"},
		{"negative duration", "times: {stall: -1s}\n", "more than zero"},
		{"size without unit", "buffer_memory: 256\n", "no unit"},
		{"bad bool", "insecure: yep\n", "neither true nor false"},
		{"export without mode", "exports: [/data]\n", "no mode"},
		{"export mode", "exports: [{path: /data, mode: rx}]\n", "neither ro nor rw"},
		{"export key", "exports: [{path: /data, mod: rw}]\n", "unknown key exports.mod"},
		{"two documents", "name: a\n---\nname: b\n", "more than one"},
		{"not yaml", "\tname: [", ""},
		{"binary", "\x00\x01\x02", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := Load(write(t, c.text), Flags{}, nil, "/")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestValidateNamesEveryMistake(t *testing.T) {
	p := write(t, `
name: "bad name"
listen: {control: nowhere}
transport: {policy: pigeon}
log: {level: loud}
state_dir: /data/state
exports: [{path: /data, mode: rw}, {path: /data/, mode: ro}]
`)
	_, _, err := Load(p, Flags{}, nil, "/")
	for _, want := range []string{"bad name", "listen.control", "transport.policy", "log.level", "given twice", "holds the state directory"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}

func TestMissingAndHugeFiles(t *testing.T) {
	if _, _, err := Load("/does/not/exist", Flags{}, nil, "/"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, _, err := Load(t.TempDir(), Flags{}, nil, "/"); err == nil {
		t.Error("a directory was read as a file")
	}
	p := write(t, strings.Repeat("# x\n", maxFile/4+1))
	if _, _, err := Load(p, Flags{}, nil, "/"); err == nil {
		t.Error("a huge file was read")
	}
}

func FuzzFile(f *testing.F) {
	f.Add(good)
	f.Add("exports:\n- path: a\n  mode: rw\n")
	f.Add("listen: {control: [1, {}]}")
	f.Fuzz(func(t *testing.T, text string) {
		p := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, _ = Load(p, Flags{}, nil, "/")
	})
}
