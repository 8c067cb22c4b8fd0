package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const examplePath = "../../../../deploy/xferd.yaml"

// commented finds keys that are commented out: "#key: value". What follows a
// hash and a space is for people.
var commented = regexp.MustCompile(`(?m)^( *)#((?:[a-z_]+:|- \{).*)$`)

// TestExampleLoads keeps the example usable as it is.
func TestExampleLoads(t *testing.T) {
	c, warnings, err := Load(examplePath, Flags{}, nil, "/")
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	want := Default()
	c.Origins = nil
	want.Name = "n1"
	want.Exports = []Export{{Path: "/data", Mode: "rw"}}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("the example sets more than it has to (-want +got):\n%s", d)
	}
}

// TestExampleHasEveryKey keeps the example complete, and its commented keys
// equal to the defaults. A key that is no more fails as unknown.
func TestExampleHasEveryKey(t *testing.T) {
	b, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	// Of a key that is there twice the first one shows the default.
	seen := map[string]bool{}
	text := commented.ReplaceAllStringFunc(string(b), func(line string) string {
		m := commented.FindStringSubmatch(line)
		if seen[m[1]+strings.SplitAfter(m[2], ":")[0]] {
			return line
		}
		seen[m[1]+strings.SplitAfter(m[2], ":")[0]] = true
		return m[1] + m[2]
	})
	path := filepath.Join(t.TempDir(), "xferd.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Default()
	keys, err := readFile(path, &c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if keys[s.key] == "" {
			t.Errorf("deploy/xferd.yaml does not show the key %s", s.key)
		}
	}
	want := Default()
	c.Origins = nil
	want.Name, want.Advertise = "n1", "10.0.0.1"
	want.Labels = map[string]string{"zone": "", "rack": ""}
	want.Exports = []Export{{Path: "/data", Mode: "rw"}, {Path: "/ref", Mode: "ro"}}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("a commented key does not show its default (-want +got):\n%s", d)
	}
}

// TestDocumentsLoad: the pieces of configuration in the documents are good.
func TestDocumentsLoad(t *testing.T) {
	block := regexp.MustCompile("(?s)\n```yaml\n(.*?)```")
	for _, doc := range []string{"README.md", "docs/operations.md"} {
		b, err := os.ReadFile("../../../../" + doc)
		if err != nil {
			t.Fatal(err)
		}
		found := block.FindAllSubmatch(b, -1)
		if len(found) == 0 {
			t.Errorf("%s shows no configuration", doc)
		}
		for _, m := range found {
			if _, _, err := Load(write(t, string(m[1])), flags(t, "--name=n1", "--export=/data:rw"), nil, "/"); err != nil {
				t.Errorf("%s: %v in\n%s", doc, err, m[1])
			}
		}
	}
}
