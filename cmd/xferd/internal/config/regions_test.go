package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRegions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "xferd.yaml")
	text := "name: n1\nexports: [{path: /d, mode: rw}]\nregions: {memory: 64GiB, per_principal: 0B, count: 7, pinned: 1GiB, pinned_per_principal: 1MiB}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := Load(file, Flags{}, []string{"XFERD_REGIONS_COUNT=8"}, "/")
	if want := (Regions{Memory: 64 << 30, Count: 8, Pinned: 1 << 30, PinnedPerPrincipal: 1 << 20}); err != nil || c.Regions != want {
		t.Errorf("%+v, %v", c.Regions, err)
	}
	for _, bad := range []string{"memory: 64", "memory: -1GiB", "count: 0", "per_principal: lots", "bytes: 1GiB"} {
		if err := os.WriteFile(file, []byte("exports: [{path: /d, mode: rw}]\nregions: {"+bad+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Load(file, Flags{}, nil, "/"); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
