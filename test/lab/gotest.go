package lab

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Binary is a compiled test binary that the guest can see.
type Binary struct {
	Path string
	Dir  string // the package's, where go test would run it
	work string
}

// Close removes it.
func (b *Binary) Close() { _ = os.RemoveAll(b.work) }

// Compile builds the test binary of a package, given as a path or an import path,
// with flags of go test such as -race or -tags. Close removes it.
func Compile(ctx context.Context, pkg string, flags ...string) (*Binary, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	dir, err := command(ctx, "", "go", "list", "-f", "{{.Dir}}", pkg)
	if err != nil {
		return nil, err
	}
	b := &Binary{Dir: strings.TrimSpace(string(dir))}
	if b.work, err = newWork(cache); err != nil {
		return nil, err
	}
	b.Path = filepath.Join(b.work, filepath.Base(b.Dir)+".test")
	if _, err := command(ctx, "", "go", slices.Concat([]string{"test", "-c", "-o", b.Path}, flags, []string{pkg})...); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// TestJob is a run of a package's tests in the lab.
type TestJob struct {
	// Job is the rest of it; Cmd, Dir and Output are set by RunTests.
	Job
	Pkg   string   // a path or an import path; empty means the package of the test that calls
	Run   string   // which tests, as in go test -run; they begin with RequireInside
	Build []string // flags of go test for the compiler: -race, -tags
	Flags []string // flags of the test binary
}

// RunTests runs tests of a package in the lab, as subtests of t: each inner test
// is one that passes, fails or skips as it did there, with its output. With two
// machines both run the same tests, which look at [EnvRole], and the subtests
// are A/TestX and B/TestX. The test ends where the lab cannot run; see [Require].
func RunTests(t *testing.T, job TestJob) Result {
	t.Helper()
	Require(t)
	if job.Pkg == "" {
		job.Pkg = "."
	}
	binary, err := Compile(t.Context(), job.Pkg, job.Build...)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	if job.Timeout == 0 {
		job.Timeout = defaultTimeout
	}
	job.Dir = binary.Dir
	// The binary's own end comes first: it says where the tests were.
	inner := max(job.Timeout*9/10, job.Timeout-defaultTimeout/4)
	job.Cmd = append([]string{binary.Path, "-test.v=test2json", "-test.run=" + job.Run, "-test.timeout=" + inner.String()}, job.Flags...)
	if v := os.Getenv(EnvRequire); v != "" {
		job.Env = append(job.Env, EnvRequire+"="+v)
	}
	if testing.Verbose() {
		job.Output = t.Output()
	}
	res, err := Run(t.Context(), job.Job)
	for _, m := range res.Machines {
		tests, rest := inspect(m.Output)
		show := func(t *testing.T) { report(t, tests, m.ExitCode, rest) }
		if len(res.Machines) > 1 {
			t.Run(m.Role, show)
		} else {
			show(t)
		}
		for _, line := range m.Trouble {
			t.Logf("kernel of machine %s: %s", m.Role, line)
		}
	}
	if err != nil {
		t.Error(err)
	}
	return res
}

// report makes subtests out of what ran on a machine.
func report(t *testing.T, tests []*innerTest, code int, rest []byte) {
	t.Helper()
	failed := false
	for _, in := range tests {
		failed = failed || in.outcome != "PASS" && in.outcome != "SKIP"
		t.Run(in.name, func(t *testing.T) {
			if !testing.Verbose() { // else it is there already
				_, _ = t.Output().Write(in.output)
			}
			switch in.outcome {
			case "PASS":
			case "SKIP":
				t.Skip("skipped in the lab")
			case "FAIL":
				t.Error("failed in the lab")
			default:
				t.Error("did not end in the lab")
			}
		})
	}
	switch {
	case code != 0 && !failed:
		t.Errorf("the tests in the lab ended with exit code %d:\n%s", code, tail(string(rest), 40))
	case code == 0 && len(tests) == 0:
		t.Error("no test ran in the lab")
	}
}

// innerTest is a test on the top level of a test binary.
type innerTest struct {
	name    string
	outcome string // PASS, FAIL or SKIP; empty when it did not end
	output  []byte
}

var (
	// The mark before a line of the test binary itself is what -test.v=test2json adds.
	atTest  = regexp.MustCompile("^\x16?=== (?:RUN|CONT|NAME|PAUSE) +([^/\\s]+)(?:/\\S*)?$")
	outcome = regexp.MustCompile("^\x16?--- (PASS|FAIL|SKIP): ([^/\\s]+) \\(")
)

// inspect divides the output of a test binary by test, in the order of their
// start. What belongs to none is rest.
func inspect(output []byte) (tests []*innerTest, rest []byte) {
	byName := map[string]*innerTest{}
	var current *innerTest
	for line := range bytes.Lines(output) {
		text := bytes.TrimRight(line, "\r\n")
		clean := bytes.TrimPrefix(line, []byte("\x16"))
		if m := atTest.FindSubmatch(text); m != nil {
			name := string(m[1])
			if byName[name] == nil {
				byName[name] = &innerTest{name: name}
				tests = append(tests, byName[name])
			}
			current = byName[name]
		} else if m := outcome.FindSubmatch(text); m != nil && byName[string(m[2])] != nil {
			current = byName[string(m[2])]
			current.outcome = string(m[1])
		} else if string(clean) == "PASS\n" || string(clean) == "FAIL\n" {
			current = nil
		}
		if current == nil {
			rest = append(rest, clean...)
		} else {
			current.output = append(current.output, clean...)
		}
	}
	return tests, rest
}
