// Package record turns API messages into JSON and YAML for people and scripts,
// and back. It differs from the standard JSON form of protobuf where that would
// be in the way: paths are text, 64-bit numbers are numbers, and enum values
// have no prefix. It knows no particular message.
package record

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Object is a record with its fields in order.
type Object []Field

// Field is one of them. Value is anything that encoding/json takes.
type Field struct {
	Name  string
	Value any
}

// MarshalJSON keeps the order of the fields.
func (o Object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := marshal(f.Name)
		if err != nil {
			return nil, err
		}
		value, err := marshal(f.Value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// marshal is json.Marshal without escapes for HTML, but with escapes for all
// that a terminal could take for a command.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return escape(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// escape replaces what is not printable, all of which stands in strings. JSON
// itself only asks for that below U+0020.
func escape(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case strconv.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// Line returns v, an Object or anything else, as one line of JSON with its line
// end.
func Line(v any) ([]byte, error) {
	b, err := marshal(v)
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// JSON returns v as indented JSON with a line end.
func JSON(v any) ([]byte, error) {
	b, err := marshal(v)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// Of returns a message as a record. Numbers and booleans are always there;
// empty texts, lists and messages are left out. A field of bytes is text where
// it is UTF-8, else it has "_base64" behind its name; a digest is hex.
func Of(m proto.Message) Object { return object(m.ProtoReflect()) }

// List returns several messages as records.
func List[M proto.Message](ms []M) []Object {
	out := make([]Object, 0, len(ms))
	for _, m := range ms {
		out = append(out, Of(m))
	}
	return out
}

func object(m protoreflect.Message) Object {
	out := Object{}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		name, v := string(fd.Name()), m.Get(fd)
		switch {
		case fd.IsMap():
			if v.Map().Len() > 0 {
				out = append(out, Field{name, mapObject(fd, v.Map())})
			}
		case fd.IsList():
			if v.List().Len() > 0 {
				n, l := list(fd, name, v.List())
				out = append(out, Field{n, l})
			}
		case fd.HasPresence() && !m.Has(fd):
		default:
			if n, one, ok := single(fd, name, v); ok {
				out = append(out, Field{n, one})
			}
		}
	}
	return out
}

// single reports false for a value that is left out.
func single(fd protoreflect.FieldDescriptor, name string, v protoreflect.Value) (string, any, bool) {
	switch fd.Kind() {
	case protoreflect.BytesKind:
		b := v.Bytes()
		if len(b) == 0 {
			return name, nil, fd.HasPresence()
		}
		switch {
		case strings.HasSuffix(name, "digest"):
			return name, hex.EncodeToString(b), true
		case utf8.Valid(b):
			return name, string(b), true
		}
		return name + "_base64", base64.StdEncoding.EncodeToString(b), true
	case protoreflect.StringKind:
		return name, v.String(), v.String() != "" || fd.HasPresence()
	case protoreflect.EnumKind:
		return name, enumName(fd.Enum(), v.Enum()), v.Enum() != 0
	case protoreflect.MessageKind:
		return name, message(v.Message()), true
	}
	return name, v.Interface(), true
}

// message handles times and durations, which are messages but read as text.
func message(m protoreflect.Message) any {
	switch t := m.Interface().(type) {
	case *timestamppb.Timestamp:
		return t.AsTime().Format(time.RFC3339Nano)
	case *durationpb.Duration:
		return t.AsDuration().String()
	}
	return object(m)
}

func list(fd protoreflect.FieldDescriptor, name string, l protoreflect.List) (string, any) {
	out := make([]any, 0, l.Len())
	if fd.Kind() == protoreflect.BytesKind {
		text := true
		for i := range l.Len() {
			text = text && utf8.Valid(l.Get(i).Bytes())
		}
		for i := range l.Len() {
			b := l.Get(i).Bytes()
			if text {
				out = append(out, string(b))
			} else {
				out = append(out, base64.StdEncoding.EncodeToString(b))
			}
		}
		if !text {
			name += "_base64"
		}
		return name, out
	}
	for i := range l.Len() {
		v := l.Get(i)
		switch fd.Kind() {
		case protoreflect.MessageKind:
			out = append(out, message(v.Message()))
		case protoreflect.EnumKind:
			out = append(out, enumName(fd.Enum(), v.Enum()))
		default:
			out = append(out, v.Interface())
		}
	}
	return name, out
}

func mapObject(fd protoreflect.FieldDescriptor, m protoreflect.Map) Object {
	var out Object
	for k, v := range m.Range {
		if fd.MapValue().Kind() == protoreflect.MessageKind {
			out = append(out, Field{k.String(), message(v.Message())})
			continue
		}
		out = append(out, Field{k.String(), v.Interface()})
	}
	slices.SortFunc(out, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// enumName returns the name of a value without the prefix of its enum.
func enumName(e protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	v := e.Values().ByNumber(n)
	if v == nil {
		return fmt.Sprintf("UNKNOWN_%d", n)
	}
	return strings.TrimPrefix(string(v.Name()), enumPrefix(e))
}

// enumPrefix is "NODE_STATE_" for NodeState.
func enumPrefix(e protoreflect.EnumDescriptor) string {
	var b strings.Builder
	for i, r := range string(e.Name()) {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String()) + "_"
}
