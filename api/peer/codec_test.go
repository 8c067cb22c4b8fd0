package peer

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
)

// Causes keep only their text, and an empty list is none.
var same = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.FilterPath(func(p cmp.Path) bool { return p.Last().Type() == reflect.TypeFor[error]() },
		cmp.Comparer(func(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) })),
}

// wireToTarget takes a message over the wire. each sees its parts.
func wireToTarget(m transfer.ToTarget, each func(*peerv1.ToTarget, int)) (out []transfer.ToTarget, err error) {
	j := targetJoin{digests: maxDigests, ranges: transfer.MaxPlaces}
	err = sendToTarget(m, func(p *peerv1.ToTarget) error {
		b, err := proto.Marshal(p)
		if err != nil {
			return err
		}
		each(p, len(b))
		var q peerv1.ToTarget
		if err := proto.Unmarshal(b, &q); err != nil {
			return err
		}
		m, err := j.add(&q)
		if m != nil {
			out = append(out, m)
		}
		return err
	})
	return out, err
}

func wireToOwner(m transfer.ToOwner, each func(*peerv1.ToOwner, int)) (out []transfer.ToOwner, err error) {
	j := answerJoin{limit: maxRanges}
	err = sendToOwner(m, func(p *peerv1.ToOwner) error {
		b, err := proto.Marshal(p)
		if err != nil {
			return err
		}
		each(p, len(b))
		var q peerv1.ToOwner
		if err := proto.Unmarshal(b, &q); err != nil {
			return err
		}
		m, err := j.add(&q)
		if m != nil {
			out = append(out, m)
		}
		return err
	})
	return out, err
}

func TestRoundTrip(t *testing.T) {
	// Which messages of the .proto came by: none may be forgotten.
	seen := map[protoreflect.FullName]bool{}
	note := func(m protoreflect.Message) {
		seen[m.WhichOneof(m.Descriptor().Oneofs().Get(0)).FullName()] = true
	}
	for i, m := range toTargetSamples() {
		t.Run(fmt.Sprintf("%d-%T", i, m), func(t *testing.T) {
			got, err := wireToTarget(m, func(p *peerv1.ToTarget, _ int) { note(p.ProtoReflect()) })
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]transfer.ToTarget{m}, got, same); d != "" {
				t.Error(d)
			}
		})
	}
	for i, m := range toOwnerSamples() {
		t.Run(fmt.Sprintf("%d-%T", i, m), func(t *testing.T) {
			got, err := wireToOwner(m, func(p *peerv1.ToOwner, _ int) { note(p.ProtoReflect()) })
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]transfer.ToOwner{m}, got, same); d != "" {
				t.Error(d)
			}
		})
	}
	for _, m := range []protoreflect.MessageDescriptor{(&peerv1.ToTarget{}).ProtoReflect().Descriptor(), (&peerv1.ToOwner{}).ProtoReflect().Descriptor()} {
		for i := range m.Fields().Len() {
			if f := m.Fields().Get(i); !seen[f.FullName()] {
				t.Errorf("no sample of %s", f.FullName())
			}
		}
	}
}

// Every type that package transfer says is a message has a sample.
func TestEveryMessage(t *testing.T) {
	have := map[string]bool{}
	for _, m := range toTargetSamples() {
		have["toTarget "+reflect.TypeOf(m).Elem().Name()] = true
	}
	for _, m := range toOwnerSamples() {
		have["toOwner "+reflect.TypeOf(m).Elem().Name()] = true
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../../transfer/control.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv == nil || f.Name.Name != "toTarget" && f.Name.Name != "toOwner" {
			continue
		}
		n++
		name := f.Name.Name + " " + f.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name
		if !have[name] {
			t.Errorf("message without a sample, and so perhaps without an encoding: %s", name)
		}
	}
	if n != len(have) {
		t.Errorf("%d messages are declared, and there are samples of %d", n, len(have))
	}
}

// Every field of every message has a value other than zero in some sample, which
// TestRoundTrip then brings over or not: a new field fails here first.
func TestEveryField(t *testing.T) {
	set, all := map[string]bool{}, map[string]bool{}
	for _, m := range toTargetSamples() {
		walk(reflect.ValueOf(m), set, all)
	}
	for _, m := range toOwnerSamples() {
		walk(reflect.ValueOf(m), set, all)
	}
	for f := range all {
		if !set[f] {
			t.Errorf("no sample has %s", f)
		}
	}
	if len(all) < 80 {
		t.Errorf("only %d fields were found", len(all))
	}
}

func walk(v reflect.Value, set, all map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			walk(v.Elem(), set, all)
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), set, all)
		}
	case reflect.Struct:
		if !strings.HasPrefix(v.Type().PkgPath(), "github.com/xferd/") {
			return
		}
		for i := range v.NumField() {
			name := v.Type().String() + "." + v.Type().Field(i).Name
			all[name] = true
			if !v.Field(i).IsZero() {
				set[name] = true
			}
			walk(v.Field(i), set, all)
		}
	}
}
