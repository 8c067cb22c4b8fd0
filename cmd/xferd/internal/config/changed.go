package config

import (
	"reflect"
	"slices"
	"strings"
)

// live are the keys that a running node takes over.
var live = []string{
	"exports", "transport.policy", "limits.transfers", "limits.queued", "limits.incoming", "limits.bandwidth", "times.stall", "times.retention", "log.level",
}

// value returns what a key is set to: fields have the names of keys, but for
// case and underscores.
func value(c *Config, key string) any {
	v := reflect.ValueOf(c).Elem()
	for part := range strings.SplitSeq(key, ".") {
		if v.Kind() == reflect.Map { // of labels
			if v = v.MapIndex(reflect.ValueOf(part)); !v.IsValid() {
				return nil
			}
			continue
		}
		name := strings.ReplaceAll(part, "_", "")
		v = v.FieldByNameFunc(func(field string) bool { return strings.EqualFold(field, name) })
	}
	if v.Kind() == reflect.Slice && v.Len() == 0 {
		return nil // as good as one that was not set
	}
	return v.Interface()
}

// Changed returns the keys that differ between two configurations, in the order
// of the documentation: those that a running node takes over, and those that
// count from its next start.
func Changed(a, b Config) (taken, restart []string) {
	for _, s := range settings {
		switch {
		case reflect.DeepEqual(value(&a, s.key), value(&b, s.key)):
		case slices.Contains(live, s.key):
			taken = append(taken, s.key)
		default:
			restart = append(restart, s.key)
		}
	}
	return taken, restart
}
