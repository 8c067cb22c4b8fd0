package fsroot

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReopenReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("content"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil { // it needs no name
		t.Fatal(err)
	}
	r, err := ReopenReadOnly(f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := make([]byte, 16)
	if n, _ := r.Read(b); string(b[:n]) != "content" {
		t.Errorf("read %q", b[:n])
	}
	if _, err := r.WriteString("x"); err == nil {
		t.Error("it can be written")
	}
}
