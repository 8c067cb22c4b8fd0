package rdma

import (
	"debug/elf"
	"os"
	"strings"
	"testing"

	"github.com/xferd/xferd/rdma/internal/ibv"
)

// TestProgramsDoNotNeedTheLibrary looks at this very binary, as nm -u does: the
// library must not be needed to start a program. Some functions of its header
// are macros and inlines that would bring a reference back.
func TestProgramsDoNotNeedTheLibrary(t *testing.T) {
	if !ibv.Built() {
		t.Skip("built without verbs")
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.ImportedSymbols()
	if err != nil || len(symbols) == 0 {
		t.Fatalf("%d imported symbols, %v", len(symbols), err)
	}
	for _, s := range symbols {
		if strings.Contains(s.Name, "ibv_") {
			t.Errorf("undefined symbol %s", s.Name)
		}
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range libraries {
		if strings.Contains(l, "ibverbs") || strings.Contains(l, "rdma") {
			t.Errorf("needs %s", l)
		}
	}
}
