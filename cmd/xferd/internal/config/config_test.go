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
		{"twice", "name: a\nname: b\n", `xferd.yaml:2:1: duplicate key "name": it is set at`},
		{"twice, nested", "listen: {http: \"\", http: \"\"}\n", `:1:20: duplicate key "listen.http"`},
		{"twice, in an export", "exports:\n- path: /a\n  mode: rw\n  path: /b\n", `:4:3: duplicate key "exports[0].path"`},
		{"section twice", "times: {stall: 1m}\ntimes: {orphan_ttl: 1m}\n", `:2:1: duplicate key "times"`},
		{"list for a scalar", "name: [a, b]\n", ":1:7: name: it takes one value"},
		{"scalar for a section", "listen: 7\n", ":1:9: listen: it has keys of its own"},
		{"bad duration", "times: {stall: 10}\n", ":1:16: times.stall: \"10\" is not a duration: write"},
		{"negative duration", "times: {stall: -1s}\n", "more than zero"},
		{"size without unit", "buffer_memory: 256\n", "no unit"},
		{"bad bool", "insecure: yep\n", "neither true nor false"},
		{"export without mode", "exports: [/data]\n", ":1:11: exports[0]: \"/data\" has no mode: write /data:ro or /data:rw"},
		{"export mode", "exports: [{path: /data, mode: rx}]\n", "neither ro nor rw"},
		{"export key", "exports: [{path: /data, mod: rw}]\n", "unknown key exports.mod"},
		{"two documents", "name: a\n---\nname: b\n", "more than one YAML document: write"},
		{"not yaml", "name: n1\nlisten: [\n", "xferd.yaml:2:9: not YAML"},
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

// TestMistakesHavePlaceKeyAndRemedy: what is wrong with a value, and not with
// the form of the file, is told in the same way, all of it at once.
func TestMistakesHavePlaceKeyAndRemedy(t *testing.T) {
	p := write(t, `name: "bad name"
cluster: a/b
advertise: 0.0.0.0
listen:
  control: nowhere
  data: "127.0.0.1:1845199"
  gossip: "127.0.0.1:7443"
join: ["10.0.0.1:7442", "10.0.0.2", ":7442"]
transport: {policy: pigeon}
log: {level: loud, format: xml}
labels: {zone: "äöü"}
buffer_memory: 1MiB
state_dir: /data/state
exports:
  - {path: /data, mode: rw}
  - /data/:ro
`)
	_, _, err := Load(p, Flags{}, nil, "/")
	var got []string
	for _, e := range Each(err) {
		got = append(got, strings.TrimPrefix(e.Error(), p))
	}
	want := []string{
		`:1:7: name: "bad name" is no node id: write 1 to 63`,
		`:2:10: cluster: "a/b" is no name of a cluster: write 1 to 63`,
		`:5:12: listen.control: "nowhere" is not host:port; write host:port, such as "127.0.0.1:7440"`,
		`:6:9: listen.data: "127.0.0.1:1845199" has the port "1845199", which is no number from 0 to 65535; write host:port`,
		`: listen.http: "127.0.0.1:7443" is the address of listen.gossip as well: give each a port of its own (it is not set; this is about its default)`,
		`:8:25: join[1]: "10.0.0.2" is not host:port; write host:port`,
		`:8:37: join[2]: ":7442" names no node: write host:port`,
		`:3:12: advertise: "0.0.0.0" is not an IP address that others can reach: write`,
		`:15:5: exports[0]: /data holds the state directory /data/state, which a transfer could overwrite: write`,
		`:16:5: exports[1]: /data is given twice (` + p + `:15:5): leave`,
		`:11:16: labels.zone: "äöü": write at most 32`,
		`:9:21: transport.policy: "pigeon" is not known: write auto or rdma or tcp`,
		`:12:16: buffer_memory: it is too small: write 64MiB or more`,
		`:10:14: log.level: "loud" is not known: write debug or`,
		`:10:28: log.format: "xml" is not known: write json or text`,
	}
	for i, g := range got {
		if i >= len(want) || !strings.Contains(g, want[i]) {
			t.Errorf("%d: %s", i, g)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d mistakes, want %d", len(got), len(want))
	}
}

// TestMistakesOfFlagsAndEnvironment: the place is the flag or the variable that
// the value came from, whatever the file says.
func TestMistakesOfFlagsAndEnvironment(t *testing.T) {
	p := write(t, good)
	for _, c := range []struct {
		flags   []string
		environ []string
		want    string
	}{
		{[]string{"--listen-data=x"}, []string{"XFERD_LISTEN_DATA=y"}, `--listen-data: listen.data: "x" is not host:port`},
		{nil, []string{"XFERD_LISTEN_DATA=y"}, `XFERD_LISTEN_DATA: listen.data: "y" is not host:port`},
		{nil, []string{"XFERD_TIMES_STALL=1"}, `XFERD_TIMES_STALL: times.stall: "1" is not a duration`},
		{[]string{"--export=/a:rw", "--export=/a:ro"}, nil, `--export: exports[1]: /a is given twice`},
	} {
		_, _, err := Load(p, flags(t, c.flags...), c.environ, "/")
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q %q: %v, want %s", c.flags, c.environ, err, c.want)
		}
	}
	_, _, err := Load("", Flags{}, nil, "/")
	if err == nil || !strings.HasPrefix(err.Error(), "no configuration file was given, and no --export: ") {
		t.Errorf("nothing at all: %v", err)
	}
}

// TestEveryMistakeOfAFile: reading does not stop at the first one.
func TestEveryMistakeOfAFile(t *testing.T) {
	p := write(t, "naem: a\nname: b\nlimits: {transfers: none}\nexports: [x, {path: /d, mode: x}]\nname: c\n")
	_, _, err := Load(p, Flags{}, nil, "/")
	if all := Each(err); len(all) != 5 {
		t.Errorf("%d mistakes, want 5:\n%v", len(all), err)
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
