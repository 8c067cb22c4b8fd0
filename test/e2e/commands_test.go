package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/api/client"
)

// execCode runs a program as the script's exec does, and returns its code.
func execCode(ts *testscript.TestScript, prog string, args ...string) int {
	err := ts.Exec(prog, args...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exitCode(exit.ProcessState)
	case err != nil:
		ts.Fatalf("%s: %v", prog, err)
	}
	return 0
}

// until REGEXP ARG...   runs xferctl again and again until it succeeds and
// prints what matches.
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) > 1, "until REGEXP ARG...")
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	var out []byte
	ok := poll(func() bool {
		cmd := exec.Command(program("xferctl"), args[1:]...)
		cmd.Env = environ("XFERCTL_SERVER=" + ts.Getenv("XFERCTL_SERVER"))
		out, err = cmd.CombinedOutput()
		return err == nil && re.Match(out)
	})
	if !ok {
		ts.Fatalf("no match for %q; the last answer: %v\n%s", args[0], err, out)
	}
	fmt.Fprintf(ts.Stdout(), "%s", out)
}

// hurry TRANSFER   takes the limit off the rate of a transfer, which had it so that
// there was time for something, on a slow machine too.
func cmdHurry(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) == 1, "hurry TRANSFER")
	api, err := client.Dial(ts.Getenv("XFERCTL_SERVER"), client.Options{})
	ts.Check(err)
	defer api.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = api.Update(ctx, "nodes/"+strings.Replace(args[0], "/", "/transfers/", 1), client.Change{MaxBytesPerSecond: new(int64(0))})
	ts.Check(err)
}

// result FIELD OP VALUE   looks into the end event of the last NDJSON that was
// printed. FIELD is a path of keys; a counter may stand alone; moved is the sum
// of the bytes moved. OP is =, <, > or ~ (a regular expression).
func cmdResult(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) == 3, "result FIELD OP VALUE")
	end, err := endEvent(ts.ReadFile("stdout"))
	ts.Check(err)
	got, err := field(end, args[0])
	ts.Check(err)
	if ok, err := holds(got, args[1], args[2]); err != nil || !ok {
		ts.Fatalf("%s is %s, want %s %s (%v)", args[0], got, args[1], args[2], err)
	}
}

func field(end map[string]any, name string) (string, error) {
	transfer, _ := end["transfer"].(map[string]any)
	counters, _ := transfer["counters"].(map[string]any)
	if name == "moved" {
		var sum float64
		by, _ := counters["bytes_moved"].(map[string]any)
		for _, n := range by {
			sum += n.(float64)
		}
		return fmt.Sprintf("%.0f", sum), nil
	}
	for _, from := range []map[string]any{end, counters, transfer} {
		if v, ok := from[name]; ok {
			return text(v), nil
		}
	}
	var v any = end
	for key := range strings.SplitSeq(name, ".") {
		m, _ := v.(map[string]any)
		if m == nil {
			return "", fmt.Errorf("there is no %s", name)
		}
		v = m[key]
	}
	return text(v), nil
}

func text(v any) string {
	if n, ok := v.(float64); ok {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func holds(got, op, want string) (bool, error) {
	switch op {
	case "=":
		return got == want, nil
	case "~":
		return regexp.MatchString(want, got)
	}
	g, err := strconv.ParseFloat(got, 64)
	w, err2 := strconv.ParseFloat(want, 64)
	if err := errors.Join(err, err2); err != nil {
		return false, err
	}
	switch op {
	case "<":
		return g < w, nil
	case ">":
		return g > w, nil
	}
	return false, fmt.Errorf("operator %s", op)
}

// file PATH SIZE [SEED]   makes a file with contents that depend on the seed,
// with the directories above it. An older time shows that times are copied.
func cmdFile(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) == 2 || len(args) == 3, "file PATH SIZE [SEED]")
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	seed := uint64(1)
	if len(args) == 3 {
		seed, err = strconv.ParseUint(args[2], 10, 64)
		ts.Check(err)
	}
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	ts.Check(os.WriteFile(path, random(size, seed), 0o644))
	at := time.Unix(1600000000+int64(seed), 123456789)
	ts.Check(os.Chtimes(path, at, at))
}

// touch PATH SECONDS   sets the time of modification.
func cmdTouch(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) == 2, "touch PATH SECONDS")
	sec, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Chtimes(ts.MkAbs(args[0]), time.Unix(sec, 0), time.Unix(sec, 0)))
}

// same A B [NAME...]   compares two trees or files with all their metadata;
// the names relative to them are left out.
func cmdSame(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: same A B [NAME...]")
	}
	p := abs(ts, args[:2])
	err := same(p[0], p[1], func(rel string) bool {
		for _, name := range args[2:] {
			if rel == name {
				return true
			}
		}
		return false
	})
	switch {
	case neg && err == nil:
		ts.Fatalf("no difference")
	case !neg:
		ts.Check(err)
	}
}

// absent PATH...   nothing has these names.
func cmdAbsent(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) > 0, "absent PATH...")
	for _, p := range abs(ts, args) {
		if _, err := os.Lstat(p); !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			ts.Fatalf("%s: %v", p, err)
		}
	}
}

// no-temps DIR...   no name of a file under way is left.
func cmdNoTemps(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) > 0, "no-temps DIR...")
	left, err := temps(abs(ts, args)...)
	ts.Check(err)
	if len(left) > 0 {
		ts.Fatalf("left behind: %q", left)
	}
}

// mode OCTAL PATH [UID GID]   checks permissions, and the owner.
func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) == 2 || len(args) == 4, "mode OCTAL PATH [UID GID]")
	var st unix.Stat_t
	ts.Check(unix.Lstat(ts.MkAbs(args[1]), &st))
	if got := fmt.Sprintf("%04o", st.Mode&^unix.S_IFMT); got != args[0] {
		ts.Fatalf("the mode of %s is %s", args[1], got)
	}
	if len(args) == 4 && (fmt.Sprint(st.Uid) != args[2] || fmt.Sprint(st.Gid) != args[3]) {
		ts.Fatalf("the owner of %s is %d:%d", args[1], st.Uid, st.Gid)
	}
}

// envsubst FILE...   replaces ${d1}, ${id} and the like in files.
func cmdEnvsubst(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) > 0, "envsubst FILE...")
	for _, f := range abs(ts, args) {
		b, err := os.ReadFile(f)
		ts.Check(err)
		ts.Check(os.WriteFile(f, []byte(os.Expand(string(b), ts.Getenv)), 0o644))
	}
}
