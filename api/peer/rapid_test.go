package peer

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/manifest"
)

// asBytes are the fields whose strings need not be UTF-8.
var asBytes = map[string]bool{"Dest": true, "Sources": true, "Pattern": true, "ResolvedTo": true, "Path": true, "Link": true, "Name": true}

func genBytes(most int) *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, most), func(b []byte) string { return string(b) })
}

// fill sets v to something that can be sent.
func fill(t *rapid.T, v reflect.Value, field string) {
	switch p := v.Addr().Interface().(type) {
	case *transfer.Want:
		*p = rapid.SampledFrom([]transfer.Want{transfer.WantAll, transfer.WantRanges, transfer.WantDigests, transfer.WantAgain}).Draw(t, field)
		return
	case *transfer.End:
		*p = rapid.SampledFrom([]transfer.End{transfer.EndPause, transfer.EndCancel, transfer.EndPurge}).Draw(t, field)
		return
	case *transfer.Reason:
		*p = transfer.Reason(rapid.StringMatching(`[A-Z][A-Z0-9_]{0,63}`).Draw(t, field))
		return
	case *error:
		if s := rapid.StringN(0, 40, -1).Draw(t, field); s != "" {
			*p = errors.New(s)
		}
		return
	case *transfer.Entry:
		*p = rapid.SampledFrom(entrySamples()).Draw(t, field)
		p.Number = rapid.Uint64Range(10, math.MaxUint64-1).Draw(t, field)
		p.Name = "x" + rapid.StringMatching(`[^/\x00]{0,20}`).Draw(t, field)
		return
	case *transfer.Result:
		p.Entry, p.Path = rapid.Uint64().Draw(t, field), genBytes(30).Draw(t, field)
		p.Bytes = rapid.Int64Range(0, manifest.MaxSize).Draw(t, field)
		p.Outcome = transfer.OutcomeSame
		if rapid.Bool().Draw(t, field) {
			p.Outcome, p.Err = transfer.OutcomeFailed, new(transfer.Error)
			fill(t, reflect.ValueOf(p.Err).Elem(), field)
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, field))
	case reflect.Int:
		v.SetInt(int64(rapid.Int32().Draw(t, field)))
	case reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, field))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, field) >> (64 - v.Type().Bits()))
	case reflect.String:
		if asBytes[field] {
			v.SetString(genBytes(30).Draw(t, field))
		} else {
			v.SetString(rapid.StringN(0, 20, -1).Draw(t, field))
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, field) {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), field)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(0, 4).Draw(t, field), 4))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), field)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), v.Type().Field(i).Name)
		}
	default:
		panic(fmt.Sprintf("a field of type %s", v.Type()))
	}
}

func entrySamples() (all []transfer.Entry) {
	for _, m := range toTargetSamples() {
		if m, ok := m.(*transfer.Entries); ok {
			all = append(all, m.Entries...)
		}
	}
	return all[1:5] // the valid ones that have a name
}

func TestRoundTripAny(t *testing.T) {
	for _, sample := range toTargetSamples() {
		typ := reflect.TypeOf(sample).Elem()
		rapid.Check(t, func(t *rapid.T) {
			v := reflect.New(typ)
			fill(t, v.Elem(), typ.Name())
			m := v.Interface().(transfer.ToTarget)
			if g, ok := m.(*transfer.EntryGiveUp); ok && g.Err == nil {
				g.Err = &transfer.Error{Reason: transfer.Internal}
			}
			if c, ok := m.(*transfer.DataControl); ok {
				soundControl(c)
			}
			got, err := wireToTarget(m, func(*peerv1.ToTarget, int) {})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]transfer.ToTarget{m}, got, same); d != "" {
				t.Fatal(d)
			}
		})
	}
	for _, sample := range toOwnerSamples() {
		typ := reflect.TypeOf(sample).Elem()
		rapid.Check(t, func(t *rapid.T) {
			v := reflect.New(typ)
			fill(t, v.Elem(), typ.Name())
			m := v.Interface().(transfer.ToOwner)
			switch m := m.(type) {
			case *transfer.Refused:
				if m.Err == nil {
					m.Err = &transfer.Error{Reason: transfer.Internal}
				}
			case *transfer.DataReady:
				if m.Err != nil {
					*m = transfer.DataReady{Err: m.Err}
				}
			case *transfer.DataControl:
				soundControl(m)
			}
			got, err := wireToOwner(m, func(*peerv1.ToOwner, int) {})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]transfer.ToOwner{m}, got, same); d != "" {
				t.Fatal(d)
			}
		})
	}
}

// soundControl makes a message of a data plane one that can be.
func soundControl(m *transfer.DataControl) {
	m.Session = max(m.Session, 1)
	if m.End {
		m.Body = nil
	}
}

// What is shown to people never breaks a stream, whatever is in it.
func TestTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genBytes(3*maxText).Draw(t, "s")
		if got := text(s); !utf8.ValidString(got) || len(got) > maxText {
			t.Fatalf("%d bytes, valid %v", len(got), utf8.ValidString(got))
		}
		e := &transfer.Error{Reason: transfer.Internal, Err: errors.New(s), Hint: s, Path: s}
		got, err := wireToOwner(&transfer.Refused{Err: e}, func(*peerv1.ToOwner, int) {})
		if err != nil {
			t.Fatal(err)
		}
		if p := got[0].(*transfer.Refused).Err.Path; p != s {
			t.Fatalf("path %q", p)
		}
	})
}
