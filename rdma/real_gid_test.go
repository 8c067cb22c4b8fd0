package rdma

import (
	"cmp"
	"os"
	"reflect"
	"testing"

	"github.com/xferd/xferd/rdma/internal/ibv"
	"github.com/xferd/xferd/test/lab"
)

// TestRealGIDTableOfAnOldLibrary: the table that is put together from sysfs, for
// libraries without a function for it, is the same.
func TestRealGIDTableOfAnOldLibrary(t *testing.T) {
	name := cmp.Or(os.Getenv("XFER_RDMA_DEVICE"), os.Getenv(lab.EnvDevice))
	if name == "" {
		t.Skip("no device: XFER_RDMA_DEVICE, or the lab")
	}
	var tables [2][]GIDEntry
	for i := range tables {
		lib, err := load(ibv.DefaultLibrary)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			lib.ForgetOptional()
		}
		d, err := New(libibverbs{lib}).OpenDevice(name)
		if err != nil {
			t.Fatal(err)
		}
		closing(t, d)
		if tables[i], err = d.GIDs(); err != nil || len(tables[i]) == 0 {
			t.Fatalf("%v, %v", tables[i], err)
		}
	}
	if !reflect.DeepEqual(tables[0], tables[1]) {
		t.Errorf("%+v\nand from sysfs\n%+v", tables[0], tables[1])
	}
}
