package store

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Strings in the tables may be file names, which are bytes. JSON strings are
// Unicode, and encoding/json silently replaces what is not. So such strings are
// stored as a NUL (which no file name has), a mark, and base64.
const byteMark = "\x00b64:"

// marshal is json.Marshal for values whose strings may hold any bytes.
func marshal(v any) ([]byte, error) {
	r := reflect.ValueOf(v)
	if r.IsValid() && anyString(r, needsMark) {
		c := reflect.New(r.Type()).Elem()
		c.Set(r)
		mapStrings(c, func(s string) string {
			if !needsMark(s) {
				return s
			}
			return byteMark + base64.StdEncoding.EncodeToString([]byte(s))
		})
		v = c.Interface()
	}
	return json.Marshal(v)
}

// unmarshal is the reverse of marshal; v is a pointer.
func unmarshal(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return err
	}
	r := reflect.ValueOf(v).Elem()
	if !anyString(r, func(s string) bool { return strings.HasPrefix(s, byteMark) }) {
		return nil
	}
	var bad error
	mapStrings(r, func(s string) string {
		coded, ok := strings.CutPrefix(s, byteMark)
		if !ok {
			return s
		}
		raw, err := base64.StdEncoding.DecodeString(coded)
		if err != nil {
			bad = err
		}
		return string(raw)
	})
	return bad
}

func needsMark(s string) bool { return !utf8.ValidString(s) || strings.HasPrefix(s, byteMark) }

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// ownForm reports whether a type decides itself how it is stored.
func ownForm(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonMarshaler) || p.Implements(textMarshaler)
}

// anyString reports whether f holds for a string somewhere in v.
func anyString(v reflect.Value, f func(string) bool) bool {
	if ownForm(v.Type()) {
		return false
	}
	switch v.Kind() {
	case reflect.String:
		return f(v.String())
	case reflect.Pointer, reflect.Interface:
		return !v.IsNil() && anyString(v.Elem(), f)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && anyString(v.Field(i), f) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return false
		}
		for i := range v.Len() {
			if anyString(v.Index(i), f) {
				return true
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if anyString(it.Key(), f) || anyString(it.Value(), f) {
				return true
			}
		}
	}
	return false
}

// mapStrings replaces every string in v, which is settable, by f of it. What v
// refers to is copied first: the caller's value stays as it is.
func mapStrings(v reflect.Value, f func(string) string) {
	if ownForm(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(f(v.String()))
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return
		}
		c := reflect.New(v.Elem().Type())
		c.Elem().Set(v.Elem())
		mapStrings(c.Elem(), f)
		if v.Kind() == reflect.Interface {
			c = c.Elem()
		}
		v.Set(c)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				mapStrings(v.Field(i), f)
			}
		}
	case reflect.Slice:
		if v.IsNil() || v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(c, v)
		v.Set(c)
		for i := range v.Len() {
			mapStrings(v.Index(i), f)
		}
	case reflect.Array:
		for i := range v.Len() {
			mapStrings(v.Index(i), f)
		}
	case reflect.Map:
		if v.IsNil() {
			return
		}
		c := reflect.MakeMapWithSize(v.Type(), v.Len())
		for it := v.MapRange(); it.Next(); {
			key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			key.Set(it.Key())
			val.Set(it.Value())
			mapStrings(key, f)
			mapStrings(val, f)
			c.SetMapIndex(key, val)
		}
		v.Set(c)
	}
}
