package docs

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

var update = flag.Bool("update", false, "write reasons.md anew from the table of reasons")

// TestReasons compares reasons.md with the table of reasons.
func TestReasons(t *testing.T) {
	want := reasons(t)
	if *update {
		if err := os.WriteFile("reasons.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile("reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(have) == want {
		return
	}
	haveLines, wantLines := strings.Split(string(have), "\n"), strings.Split(want, "\n")
	for i := range max(len(haveLines), len(wantLines)) {
		var h, w string
		if i < len(haveLines) {
			h = haveLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if h != w {
			t.Fatalf("reasons.md is not what the table of reasons gives; write it anew with: go test ./docs -run TestReasons -update\nline %d is\n%s\nand should be\n%s", i+1, h, w)
		}
	}
}

const reasonsHead = `# Reasons

What can go wrong, and what it means for a caller. This page is made from the
table in [reasons.proto](../api/xfer/v1/reasons.proto); do not edit it. After a
change of the table:

    go test ./docs -run TestReasons -update

A call that fails has a gRPC status with a google.rpc.ErrorInfo of domain
` + "`xferd`" + `; its reason is a name of this table, and its metadata tells the side,
phase, node, path and hint. A transfer, or an entry of one, that fails has an
Error with the same names. Where the table says that a retry can help, the status
carries a google.rpc.RetryInfo as well, and exactly there: the same call can
succeed later without anybody mending anything.

The exit code is that of xferctl for this reason alone. When several entries of
one transfer fail for different reasons, the first of 7, 8, 11, 4, 6, 5 that
occurs is the exit code, and every other code counts as 5; see
[operations.md](operations.md).

| reason | meaning | exit code | gRPC code | retry |
| --- | --- | --- | --- | --- |
`

// reasons makes the document, in the order of exit codes and then of numbers,
// which is the order in which people look things up.
func reasons(t *testing.T) string {
	t.Helper()
	values := xferv1.Reason(0).Descriptor().Values()
	byCode := map[int32][]string{}
	var highest int32
	for i := range values.Len() {
		r := xferv1.Reason(values.Get(i).Number())
		if r == xferv1.Reason_REASON_UNSPECIFIED {
			continue
		}
		info := r.Info()
		if info == nil {
			t.Errorf("%s has no line in the table", r)
			continue
		}
		retry := ""
		if info.GetRetryable() {
			retry = "yes"
		}
		meaning := strings.NewReplacer("|", `\|`, "\n", " ").Replace(info.GetMeaning())
		code := info.GetExitCode()
		byCode[code] = append(byCode[code], fmt.Sprintf("| `%s` | %s | %d | %s | %s |\n",
			r.Name(), meaning, code, codes.Code(info.GetStatusCode()), retry))
		highest = max(highest, code)
	}
	var b strings.Builder
	b.WriteString(reasonsHead)
	for code := range highest + 1 {
		for _, line := range byCode[code] {
			b.WriteString(line)
		}
	}
	return b.String()
}
