package client_test

import (
	"context"
	"log"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// A serving process takes new weights: it makes a region, has them copied into it from
// another node, and reads them when they are whole.
func ExampleClient_AttachRegion() {
	c, err := client.Dial(client.DefaultServer, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	if _, err := c.CreateRegion(ctx, "n2", "weights", &xferv1.Region{SizeBytes: 1 << 30}); err != nil {
		log.Fatal(err)
	}
	region, err := c.AttachRegion(ctx, "weights", client.AttachOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer region.Close()

	seen := region.Generation()
	spec := client.Copy("n1", "/data/weights", "n2", "")
	spec.Destination = client.RegionDestination("weights", 0)
	t, err := c.Submit(ctx, "", spec)
	if err != nil {
		log.Fatal(err)
	}
	done, err := c.Wait(ctx, t.GetName())
	if err == nil {
		err = client.TransferError(done)
	}
	if err != nil {
		log.Fatal(err)
	}
	// Another process would not know the transfer, and wait for the commit alone.
	if _, err := region.Wait(ctx, seen); err != nil {
		log.Fatal(err)
	}
	use(region.Bytes())
}

func use([]byte) {}
