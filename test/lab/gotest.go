package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
	Pkg   string // as in Suite, like the others
	Run   string
	Build []string
	Flags []string
}

// Suite is tests of one package.
type Suite struct {
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
	return RunSuites(t, job.Job, Suite{job.Pkg, job.Run, job.Build, job.Flags})
}

// RunSuites is RunTests of several packages, one after the other after a single
// boot. Where there is more than one, the subtests are pkg/TestX, with the last
// element of the package's path.
func RunSuites(t *testing.T, job Job, suites ...Suite) Result {
	t.Helper()
	Require(t)
	if job.Timeout == 0 {
		job.Timeout = defaultTimeout
	}
	// A binary's own end comes first: it says where the tests were.
	inner := max(job.Timeout*9/10, job.Timeout-defaultTimeout/4)
	// No suite is left out because one before it failed.
	script := "code=0\n"
	var names []string
	for _, s := range suites {
		if s.Pkg == "" {
			s.Pkg = "."
		}
		binary, err := Compile(t.Context(), s.Pkg, s.Build...)
		if err != nil {
			t.Fatal(err)
		}
		defer binary.Close()
		names = append(names, filepath.Base(binary.Dir))
		script += "cd " + quote(binary.Dir) + " || exit 125\n"
		for _, arg := range append([]string{binary.Path, "-test.v=test2json", "-test.run=" + s.Run, "-test.timeout=" + inner.String()}, s.Flags...) {
			script += quote(arg) + " "
		}
		script += fmt.Sprintf("\nc=$?; echo '%s' $c; [ $c = 0 ] || code=$c\n", endOfSuite)
	}
	job.Cmd, job.CmdB = []string{"sh", "-c", script + "exit $code"}, nil
	if v := os.Getenv(EnvRequire); v != "" {
		job.Env = append(job.Env, EnvRequire+"="+v)
	}
	if testing.Verbose() {
		job.Output = t.Output()
	}
	res, err := Run(t.Context(), job)
	for _, m := range res.Machines {
		show := func(t *testing.T) { reportSuites(t, names, m) }
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

// endOfSuite begins the line after the output of a test binary; the exit code
// follows.
const endOfSuite = "=== end of the suite, exit code"

// divide divides the output of a machine by test binary. The last ones may be
// missing, and the last that is there may have no exit code, which is -1 then.
func divide(output []byte) (parts [][]byte, codes []int) {
	for len(output) > 0 {
		before, after, ended := bytes.Cut(output, []byte(endOfSuite+" "))
		code := -1
		if ended {
			line, rest, _ := bytes.Cut(after, []byte("\n"))
			if n, err := strconv.Atoi(string(bytes.TrimSpace(line))); err == nil {
				code = n
			}
			after = rest
		}
		parts, codes, output = append(parts, before), append(codes, code), after
	}
	return parts, codes
}

func reportSuites(t *testing.T, names []string, m MachineResult) {
	t.Helper()
	parts, codes := divide(m.Output)
	for i, name := range names {
		show := func(t *testing.T) {
			if i >= len(parts) {
				t.Error("the suite did not begin in the lab")
				return
			}
			tests, rest := inspect(parts[i])
			report(t, tests, codes[i], rest)
		}
		if len(names) > 1 {
			t.Run(name, show)
		} else {
			show(t)
		}
	}
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
