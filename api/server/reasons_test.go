package server_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/grpc/codes"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// reasonConstants reads the constants of type Reason from the source, since Go
// can not list them.
func reasonConstants(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../../transfer/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			if id, ok := v.Type.(*ast.Ident); !ok || id.Name != "Reason" {
				continue
			}
			s, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			if s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}

// TestReasonsHaveNoGap holds the constants of package transfer and the table of
// the API together, both ways.
func TestReasonsHaveNoGap(t *testing.T) {
	constants := reasonConstants(t)
	if len(constants) < 50 {
		t.Fatalf("only %d constants found", len(constants))
	}
	for _, c := range constants {
		if _, ok := xferv1.ReasonByName(c); !ok {
			t.Errorf("transfer.%s is not in reasons.proto", c)
		}
	}
	for number, name := range xferv1.Reason_name {
		r := xferv1.Reason(number)
		if number == 0 {
			if r.Name() != "" || r.Info() != nil {
				t.Errorf("%s has a meaning", name)
			}
			continue
		}
		if !slices.Contains(constants, r.Name()) {
			t.Errorf("%s is no constant of package transfer", name)
		}
		info := r.Info()
		if info == nil {
			t.Errorf("%s has no reason_info", name)
			continue
		}
		if c := codes.Code(info.GetStatusCode()); c == codes.OK || c == codes.Unknown || c > codes.Unauthenticated {
			t.Errorf("%s has status code %s", name, c)
		}
		if !slices.Contains([]int32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, info.GetExitCode()) {
			t.Errorf("%s has exit code %d", name, info.GetExitCode())
		}
		if info.GetMeaning() == "" {
			t.Errorf("%s has no meaning", name)
		}
		if back, ok := xferv1.ReasonByName(r.Name()); !ok || back != r {
			t.Errorf("%s does not come back by its name", name)
		}
	}
}

// TestStatusCodesAreThoseOfGRPC holds our enum and that of gRPC together.
func TestStatusCodesAreThoseOfGRPC(t *testing.T) {
	for number, name := range xferv1.StatusCode_name {
		if number == 0 {
			continue
		}
		var c codes.Code
		if err := c.UnmarshalJSON([]byte(strconv.Quote(name[len("STATUS_CODE_"):]))); err != nil || int32(c) != number {
			t.Errorf("%s is %d, in gRPC %d (%v)", name, number, c, err)
		}
	}
}

func TestUnknownReason(t *testing.T) {
	if xferv1.ReasonInfoByName("FROM_THE_FUTURE") != nil || xferv1.ReasonInfoByName("") != nil || xferv1.ReasonInfoByName("UNSPECIFIED") != nil {
		t.Error("an unknown reason has a line in the table")
	}
	if xferv1.ReasonInfoByName("FROM_THE_FUTURE").GetExitCode() != 0 {
		t.Error("the getters of no line do not work")
	}
	if xferv1.ReasonInfoByName(string(transfer.ChecksumMismatch)).GetExitCode() != 7 {
		t.Error("CHECKSUM_MISMATCH is not exit code 7")
	}
}
