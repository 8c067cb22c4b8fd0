package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xferd/xferd/test/needs"
)

func TestStreamFindsItsLines(t *testing.T) {
	const whole = "one\n\x01lab t0 phase kernel\ntwo, no end\x01lab t0 host pause A 1\n\x01lab other exit 1\n\x01lab\x01lab t0 exit 3\nthree\x01la"
	for _, size := range []int{1, 2, 3, 7, 16, len(whole)} {
		var out bytes.Buffer
		var lines []string
		s := newStream("t0", &out, func(l string) { lines = append(lines, l) })
		for rest := []byte(whole); len(rest) > 0; {
			n := min(size, len(rest))
			_, _ = s.Write(rest[:n])
			rest = rest[n:]
		}
		_ = s.Close()
		if want := "one\ntwo, no end\x01lab other exit 1\n\x01labthree\x01la"; out.String() != want {
			t.Errorf("pieces of %d: output %q, want %q", size, out.String(), want)
		}
		if diff := cmp.Diff([]string{"phase kernel", "host pause A 1", "exit 3"}, lines); diff != "" {
			t.Errorf("pieces of %d: lines: %s", size, diff)
		}
	}
}

func TestLabelledWritesWholeLines(t *testing.T) {
	var out bytes.Buffer
	l := &labelled{label: "A| ", out: &out}
	for _, s := range []string{"a", "b\n", "c\nd\n", "e"} {
		_, _ = l.Write([]byte(s))
	}
	_ = l.Close()
	if got, want := out.String(), "A| ab\nA| c\nA| d\nA| e\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestNewestKernel(t *testing.T) {
	names := []string{
		"linux-image-6.1.0-47-amd64", "linux-image-6.1.0-9-amd64", "linux-image-6.1.0-50-amd64", "linux-image-6.1.0-56-cloud-amd64",
		"linux-image-6.1.0-56-rt-amd64", "linux-image-6.12.100+deb12-amd64", "linux-image-6.12.99+deb12-amd64",
		"linux-image-6.12.111+deb12-cloud-amd64", "linux-image-6.19.8+deb14-amd64",
	}
	for _, c := range []struct{ wish, want string }{
		{"6.1", "linux-image-6.1.0-50-amd64"},
		{"6.1.0-9", "linux-image-6.1.0-9-amd64"},
		{"6.12", "linux-image-6.12.100+deb12-amd64"},
		{"6", "linux-image-6.19.8+deb14-amd64"},
		{"6.13", ""},
		{"7", ""},
	} {
		if got := newest(names, c.wish); got != c.want {
			t.Errorf("%s: %q, want %q", c.wish, got, c.want)
		}
	}
}

func TestScriptKeepsEveryByte(t *testing.T) {
	args := []string{"printf", "%s|", "a b", "it's", "$HOME", "", "x\ny", "`id`", "\\", "ü\x01"}
	job, err := Job{Cmd: args, Env: []string{"K=v 'w' $x"}, Dir: t.TempDir()}.withDefaults("/")
	if err != nil {
		t.Fatal(err)
	}
	script := strings.Replace(job.script("A"), "exec", "printf %s \"$K\"; exec", 1)
	out, err := exec.Command("sh", "-c", script).CombinedOutput()
	if want := "v 'w' $x" + strings.Join(args[2:], "|") + "|"; err != nil || string(out) != want {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
}

func TestBadJobs(t *testing.T) {
	ok := []string{"true"}
	for _, c := range []struct {
		job  Job
		want string
	}{
		{Job{}, "no command"},
		{Job{Cmd: ok, VMs: 3}, "1 or 2 machines"},
		{Job{Cmd: ok, Links: 9}, "1 to 8 links"},
		{Job{Cmd: []string{"/dev/shm/x.test"}}, "not visible"},
		{Job{Cmd: ok, Dir: "/run/user/0"}, "not visible"},
		{Job{Cmd: ok, CmdB: []string{"/proc/self/exe"}}, "not visible"},
		{Job{Cmd: ok, Env: []string{"A"}}, "NAME=value"},
		{Job{Cmd: ok, Env: []string{"A-B=1"}}, "NAME=value"},
	} {
		if _, err := c.job.withDefaults("/"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.job, err, c.want)
		}
	}
}

// TestArchive has another program read what cpio writes.
func TestArchive(t *testing.T) {
	busybox, err := lookTool("busybox")
	if err != nil {
		needs.Missing(t, "busybox is not installed (make deps)")
	}
	dir := t.TempDir()
	cmd := exec.Command(busybox, "cpio", "-idm")
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(cpio([]cpioFile{
		{name: "a/b/run", mode: 0o755, data: []byte("#!")}, {name: "a/link", link: "b/run"}, {name: "empty/", mode: 0o700}, {name: "a/x", mode: 0o600},
	}))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v: %s", err, out)
	}
	var got []string
	for _, name := range []string{"a", "a/b/run", "a/link", "empty", "a/x"} {
		info, err := os.Lstat(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(name, " ", info.Mode()))
	}
	if data, err := os.ReadFile(dir + "/a/link"); err != nil || string(data) != "#!" {
		t.Errorf("through the link: %q, %v", data, err)
	}
	if diff := cmp.Diff([]string{"a drwxr-xr-x", "a/b/run -rwxr-xr-x", "a/link Lrwxrwxrwx", "empty drwx------", "a/x -rw-------"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestInspectDividesOutput(t *testing.T) {
	const output = "early\n\x16=== RUN   TestA\nsays a\n\x16=== RUN   TestA/sub\n\x16=== PAUSE TestA\n\x16=== RUN   TestB\n    b_test.go:1: no\n" +
		"\x16--- FAIL: TestB (0.00s)\n\x16=== CONT  TestA\nagain a\n    \x16--- PASS: TestA/sub (0.00s)\n\x16--- PASS: TestA (0.1s)\n" +
		"\x16=== RUN   TestC\n\x16--- SKIP: TestC (0.00s)\n\x16=== RUN   TestD\nlast words\nFAIL\nexit\n"
	tests, rest := inspect([]byte(output))
	var got []string
	for _, in := range tests {
		got = append(got, in.name+" "+in.outcome)
	}
	if diff := cmp.Diff([]string{"TestA PASS", "TestB FAIL", "TestC SKIP", "TestD "}, got); diff != "" {
		t.Fatal(diff)
	}
	if a := string(tests[0].output); !strings.Contains(a, "says a") || !strings.Contains(a, "again a") || strings.Contains(a, "b_test") {
		t.Errorf("output of TestA: %q", a)
	}
	if string(rest) != "early\nFAIL\nexit\n" {
		t.Errorf("rest %q", rest)
	}
}

func TestDivideBySuite(t *testing.T) {
	for _, c := range []struct {
		output string
		parts  []string
		codes  []int
	}{
		{"", nil, nil},
		{"a\n" + endOfSuite + " 0\nb\n" + endOfSuite + " 2\n", []string{"a\n", "b\n"}, []int{0, 2}},
		{"a\n" + endOfSuite + " 1\ncut off", []string{"a\n", "cut off"}, []int{1, -1}},
	} {
		parts, codes := divide([]byte(c.output))
		var got []string
		for _, p := range parts {
			got = append(got, string(p))
		}
		if diff := cmp.Diff(c.parts, got) + cmp.Diff(c.codes, codes); diff != "" {
			t.Errorf("%q: %s", c.output, diff)
		}
	}
}
