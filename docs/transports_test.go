package docs

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestTransportReasons: whoever reads in a status why another transport was taken
// finds in the manual what that means.
func TestTransportReasons(t *testing.T) {
	code, err := os.ReadFile("../transport/error.go")
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("operations.md")
	if err != nil {
		t.Fatal(err)
	}
	reasons := regexp.MustCompile(`Reason = "([A-Z_]+)"`).FindAllStringSubmatch(string(code), -1)
	if len(reasons) < 10 {
		t.Fatalf("there are only these reasons: %v", reasons)
	}
	for _, r := range reasons {
		if !strings.Contains(string(manual), "\n| `"+r[1]+"` |") {
			t.Errorf("operations.md does not explain %s", r[1])
		}
	}
}
