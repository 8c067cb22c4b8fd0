package region

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// Sizes, names and options that no region can have.
func TestCreateRefusesBadSpecs(t *testing.T) {
	r := newRegistry(t)
	node := 99999
	for name, s := range map[string]Spec{
		"no name":               {Size: PageSize},
		"name with a slash":     {ID: "a/b", Size: PageSize},
		"name of 129 bytes":     {ID: strings.Repeat("a", 129), Size: PageSize},
		"name that is a dot":    {ID: ".", Size: PageSize},
		"size 0":                {ID: "x"},
		"negative size":         {ID: "x", Size: -PageSize},
		"no page multiple":      {ID: "x", Size: PageSize + 1},
		"one byte":              {ID: "x", Size: 1},
		"size 2^63-1":           {ID: "x", Size: math.MaxInt64},
		"size 2^62":             {ID: "x", Size: 1 << 62},
		"no huge page":          {ID: "x", Size: PageSize, HugePages: 3 * PageSize},
		"no huge page multiple": {ID: "x", Size: PageSize, HugePages: 2 << 20},
		"NUMA node of nobody":   {ID: "x", Size: PageSize, NUMANode: &node},
		"foreign huge pages":    {ID: "x", Size: 2 << 20, HugePages: 2 << 20, Foreign: true},
		"ttl too short":         {ID: "x", Size: PageSize, TTL: time.Millisecond},
		"ttl too long":          {ID: "x", Size: PageSize, TTL: 400 * 24 * time.Hour},
		"reader without a name": {ID: "x", Size: PageSize, Readers: []string{""}},
		"too many writers":      {ID: "x", Size: PageSize, Writers: make([]string, 65)},
		"label without a key":   {ID: "x", Size: PageSize, Labels: map[string]string{"": "v"}},
		"label that is long":    {ID: "x", Size: PageSize, Labels: map[string]string{"k": strings.Repeat("v", 257)}},
	} {
		t.Run(name, func(t *testing.T) {
			s.Principal = ann
			_, err := r.Create(context.Background(), s)
			wantKind(t, err, ErrInvalid)
		})
	}
	if l := r.List("", "", 0); len(l) != 0 {
		t.Errorf("%d regions are there", len(l))
	}
}

func TestCreateOverBudget(t *testing.T) {
	r := newHome(t, Config{Memory: 10 * PageSize, PerPrincipal: 6 * PageSize, Count: 4}).reg
	create := func(id, who string, pages int64) error {
		_, err := r.Create(context.Background(), Spec{ID: id, Principal: who, Size: pages * PageSize})
		return err
	}
	wantKind(t, create("whole", ann, 11), ErrBudget)
	wantKind(t, create("own", ann, 7), ErrBudget)
	for id, who := range map[string]string{"a": ann, "b": bob} {
		if err := create(id, who, 4); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, create("c", eve, 3), ErrBudget)
	wantKind(t, create("c", ann, 3), ErrBudget)
	for i := range 2 {
		if err := create(fmt.Sprint("small", i), ann, 1); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, create("fifth", bob, 1), ErrBudget)
	// What is given back can be had again.
	if err := r.Delete(context.Background(), bob, "b", false); err != nil {
		t.Fatal(err)
	}
	if err := create("b", bob, 4); err != nil {
		t.Error(err)
	}
	if s := r.Stats(); s.Regions != 4 || s.Bytes != 10*PageSize || s.Refused != 5 {
		t.Errorf("stats %+v", s)
	}
}

// A name is taken for everybody; who may not look learns nothing else of it.
func TestNamesAndOwners(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x", Readers: []string{bob}})
	for _, who := range []string{ann, bob, eve} {
		_, err := r.Create(context.Background(), Spec{ID: "x", Principal: who, Size: PageSize})
		wantKind(t, err, ErrExists)
	}
	for who, sees := range map[string]bool{ann: true, bob: true, eve: false, "": true} {
		_, err := r.Get(who, "x")
		if (err == nil) != sees {
			t.Errorf("%q: error %v", who, err)
		}
		if !sees {
			wantKind(t, err, ErrNotFound)
		}
		if n := len(r.List(who, "", 0)); (n == 1) != sees {
			t.Errorf("%q lists %d regions", who, n)
		}
	}
	for _, who := range []string{bob, eve} { // others than the owner
		_, err := r.Update(context.Background(), who, "x", Change{})
		wantKind(t, err, ErrNotFound)
		wantKind(t, r.Delete(context.Background(), who, "x", true), ErrNotFound)
	}
	_, err := r.Read(eve, "x")
	wantKind(t, err, ErrNotFound)
	_, err = r.Write(context.Background(), WriteRequest{Principal: eve, ID: "x", Ranges: []Range{{0, 1}}})
	wantKind(t, err, ErrNotFound)
	_, err = r.Write(context.Background(), WriteRequest{Principal: bob, ID: "x", Ranges: []Range{{0, 1}}})
	wantKind(t, err, ErrDenied)
	everybody := []string{Everybody}
	if _, err := r.Update(context.Background(), ann, "x", Change{Writers: &everybody}); err != nil {
		t.Fatal(err)
	}
	w, err := r.Write(context.Background(), WriteRequest{Principal: eve, ID: "x", Ranges: []Range{{0, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
}

func TestUpdateIsDurableAndChecked(t *testing.T) {
	h := newHome(t, Config{})
	mustCreate(t, h.reg, Spec{ID: "x", Labels: map[string]string{"a": "1"}})
	labels, readers, ttl := map[string]string{"b": "2"}, []string{bob}, time.Hour
	if _, err := h.reg.Update(context.Background(), ann, "x", Change{Labels: &labels, Readers: &readers, TTL: &ttl}); err != nil {
		t.Fatal(err)
	}
	bad := 10 * time.Millisecond
	_, err := h.reg.Update(context.Background(), ann, "x", Change{TTL: &bad})
	wantKind(t, err, ErrInvalid)
	labels["b"], readers[0] = "spoilt", eve // the registry has its own
	for _, r := range []*Registry{h.reg, h.restart()} {
		info, err := r.Get(bob, "x")
		if err != nil {
			t.Fatal(err)
		}
		if info.Labels["b"] != "2" || len(info.Labels) != 1 || info.TTL != time.Hour || info.Readers[0] != bob {
			t.Errorf("region %+v", info)
		}
	}
}

// Pages of a list are whole and in order, and 10,000 regions are no trouble.
func TestManyRegions(t *testing.T) {
	const count = 10_000
	if testing.Short() {
		t.Skip("short")
	}
	r := newRegistry(t)
	before := openFiles(t)
	var making errgroup.Group // many share a transaction
	making.SetLimit(128)
	for i := range count {
		making.Go(func() error {
			// Foreign ones need no descriptors, of which a machine may allow few.
			_, err := r.Create(context.Background(), Spec{ID: fmt.Sprintf("r%05d", i), Principal: ann, Size: PageSize, Foreign: i%10 != 0})
			return err
		})
	}
	if err := making.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := openFiles(t) - before; n > count/10+20 {
		t.Errorf("%d descriptors for %d regions with memory", n, count/10)
	}
	seen, after := 0, ""
	for {
		page := r.List(ann, after, 777)
		for _, info := range page {
			if info.ID <= after {
				t.Fatalf("%s after %s", info.ID, after)
			}
			after = info.ID
			seen++
		}
		if len(page) < 777 {
			break
		}
	}
	if seen != count {
		t.Errorf("%d regions listed", seen)
	}
}
