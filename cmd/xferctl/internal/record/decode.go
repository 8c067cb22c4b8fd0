package record

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/xferd/xferd/cmd/internal/quantity"
)

// Fill sets the fields of a message from what YAML or JSON was decoded to: it
// reads what Of makes, and besides sizes with a unit ("4MiB") for numbers of
// bytes, and enum values in either case, with or without prefix. An unknown
// field is an error; errors begin with the place, as in "spec.verify".
func Fill(m proto.Message, from map[string]any) error {
	return fill(m.ProtoReflect(), from, "")
}

func fill(m protoreflect.Message, from map[string]any, at string) error {
	fields := m.Descriptor().Fields()
	for _, key := range slices.Sorted(maps.Keys(from)) {
		value, place := from[key], join(at, key)
		name, encoded := strings.CutSuffix(key, "_base64")
		fd := fields.ByName(protoreflect.Name(name))
		if fd == nil || encoded && fd.Kind() != protoreflect.BytesKind {
			return fmt.Errorf("%s: there is no such field; known are %s", place, fieldNames(fields))
		}
		if o := fd.ContainingOneof(); o != nil && m.WhichOneof(o) != nil && !o.IsSynthetic() {
			return fmt.Errorf("%s: there is a %s already", place, m.WhichOneof(o).Name())
		}
		if value == nil {
			continue
		}
		var err error
		switch {
		case fd.IsMap():
			err = fillMap(m.Mutable(fd).Map(), fd, value, place)
		case fd.IsList():
			err = fillList(m.Mutable(fd).List(), fd, value, place, encoded)
		default:
			var v protoreflect.Value
			if v, err = parse(fd, m.NewField(fd), value, place, encoded); err == nil {
				m.Set(fd, v)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

func fieldNames(fields protoreflect.FieldDescriptors) string {
	var out []string
	for i := range fields.Len() {
		out = append(out, string(fields.Get(i).Name()))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func fillMap(into protoreflect.Map, fd protoreflect.FieldDescriptor, value any, place string) error {
	entries, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: must be a mapping", place)
	}
	for k, v := range entries {
		if fd.MapKey().Kind() != protoreflect.StringKind || fd.MapValue().Kind() != protoreflect.StringKind {
			return fmt.Errorf("%s: cannot be set", place)
		}
		text, ok := v.(string)
		if !ok {
			return fmt.Errorf("%s: must be text; put it in quotes", join(place, k))
		}
		into.Set(protoreflect.ValueOfString(k).MapKey(), protoreflect.ValueOfString(text))
	}
	return nil
}

func fillList(into protoreflect.List, fd protoreflect.FieldDescriptor, value any, place string, encoded bool) error {
	items, ok := value.([]any)
	if !ok {
		return fmt.Errorf("%s: must be a list", place)
	}
	for i, item := range items {
		here := fmt.Sprintf("%s[%d]", place, i)
		if item == nil {
			return fmt.Errorf("%s: is empty", here)
		}
		v, err := parse(fd, into.NewElement(), item, here, encoded)
		if err != nil {
			return err
		}
		into.Append(v)
	}
	return nil
}

// parse returns one value; fresh is a new one of its type.
func parse(fd protoreflect.FieldDescriptor, fresh protoreflect.Value, value any, place string, encoded bool) (protoreflect.Value, error) {
	none := protoreflect.Value{}
	if fd.Kind() == protoreflect.BoolKind {
		b, ok := value.(bool)
		if !ok {
			return none, fmt.Errorf("%s: must be true or false", place)
		}
		return protoreflect.ValueOfBool(b), nil
	}
	if fd.Kind() == protoreflect.MessageKind {
		return fresh, parseMessage(fresh.Message(), value, place)
	}
	if text, ok := value.(string); ok {
		return parseText(fd, text, place, encoded)
	}
	n, ok := wholeNumber(value)
	if !ok {
		return none, fmt.Errorf("%s: must be %s", place, kindName(fd))
	}
	return number(fd, n, place)
}

func parseText(fd protoreflect.FieldDescriptor, text, place string, encoded bool) (protoreflect.Value, error) {
	none := protoreflect.Value{}
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(text), nil
	case protoreflect.BytesKind:
		b, err := []byte(text), error(nil)
		switch {
		case encoded:
			b, err = base64.StdEncoding.DecodeString(text)
		case strings.HasSuffix(string(fd.Name()), "digest"):
			b, err = hex.DecodeString(text)
		}
		if err != nil {
			return none, fmt.Errorf("%s: %w", place, err)
		}
		return protoreflect.ValueOfBytes(b), nil
	case protoreflect.EnumKind:
		values := fd.Enum().Values()
		want := strings.ToUpper(strings.ReplaceAll(text, "-", "_"))
		var names []string
		for i := range values.Len() {
			full := string(values.Get(i).Name())
			short := strings.TrimPrefix(full, enumPrefix(fd.Enum()))
			if want == full || want == short {
				return protoreflect.ValueOfEnum(values.Get(i).Number()), nil
			}
			if i > 0 {
				names = append(names, strings.ToLower(short))
			}
		}
		return none, fmt.Errorf("%s: %q is not one of %s", place, text, strings.Join(names, ", "))
	case protoreflect.Int64Kind:
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil {
			return number(fd, n, place)
		}
		if n, err = quantity.ParseRate(text); err != nil {
			return none, fmt.Errorf("%s: %w", place, err)
		}
		return number(fd, n, place)
	}
	return none, fmt.Errorf("%s: must be %s", place, kindName(fd))
}

// parseMessage reads times and durations from text, and others from mappings.
func parseMessage(m protoreflect.Message, value any, place string) error {
	text, isText := value.(string)
	switch t := m.Interface().(type) {
	case *timestamppb.Timestamp:
		at, err := time.Parse(time.RFC3339Nano, text)
		if at2, ok := value.(time.Time); ok {
			at, err = at2, nil
		}
		if err != nil {
			return fmt.Errorf("%s: must be a time such as 2026-03-01T18:00:00Z", place)
		}
		proto.Merge(t, timestamppb.New(at))
		return nil
	case *durationpb.Duration:
		d, err := time.ParseDuration(text)
		if !isText || err != nil {
			return fmt.Errorf("%s: must be a duration such as 90m", place)
		}
		proto.Merge(t, durationpb.New(d))
		return nil
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: must be a mapping", place)
	}
	return fill(m, fields, place)
}

func wholeNumber(value any) (int64, bool) {
	switch n := value.(type) {
	case int:
		return int64(n), true
	case int64:
		return n, true
	case uint64:
		return int64(n), n <= math.MaxInt64
	case float64:
		return int64(n), n == math.Trunc(n) && math.Abs(n) < 1<<53
	}
	return 0, false
}

func number(fd protoreflect.FieldDescriptor, n int64, place string) (protoreflect.Value, error) {
	switch {
	case fd.Kind() == protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(n), nil
	case fd.Kind() == protoreflect.Int32Kind && n == int64(int32(n)):
		return protoreflect.ValueOfInt32(int32(n)), nil
	case fd.Kind() == protoreflect.Uint32Kind && n == int64(uint32(n)):
		return protoreflect.ValueOfUint32(uint32(n)), nil
	case fd.Kind() == protoreflect.Uint64Kind && n >= 0:
		return protoreflect.ValueOfUint64(uint64(n)), nil
	case fd.Kind() == protoreflect.Int32Kind, fd.Kind() == protoreflect.Uint32Kind, fd.Kind() == protoreflect.Uint64Kind:
		return protoreflect.Value{}, fmt.Errorf("%s: %d is out of range", place, n)
	}
	return protoreflect.Value{}, fmt.Errorf("%s: must be %s", place, kindName(fd))
}

func kindName(fd protoreflect.FieldDescriptor) string {
	switch fd.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind:
		return "text; put it in quotes"
	case protoreflect.EnumKind:
		return "a name"
	}
	return "a whole number"
}
