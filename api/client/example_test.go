package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// A scheduler stages data in before a job. The id is made from the job and the
// number of the try, so that the scheduler can be restarted at any point and run the
// same lines again: it finds the transfer that it began, and its end. An id stands
// for one transfer for ever, so one that failed stays failed: what is to run after the
// cause was mended is the next try, with an id of its own, or Client.Retry.
func Example() {
	c, err := client.Dial(client.DefaultServer, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()

	spec := client.Copy("n1", "/data/imagenet", "n2", "/scratch/imagenet")
	spec.Labels = map[string]string{"slurm.job": "4711"}
	t, err := c.Submit(ctx, "slurm-4711-in-1", spec)
	if err != nil {
		log.Fatal(err)
	}
	done, err := c.Wait(ctx, t.GetName())
	if err != nil {
		log.Fatal(err) // it is not known what became of it; ask again later
	}
	if err := client.TransferError(done); err != nil {
		log.Fatal(err)
	}
	fmt.Println("copied", done.GetCounters().GetBytesDone(), "bytes by", done.GetDataPath().GetTransport())
}

// An error says for programs what went wrong, and whether to try again.
func ExampleError() {
	c, err := client.Dial("127.0.0.1:7440", client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	_, err = c.Submit(context.Background(), "nightly", client.Copy("n1", "/data/a", "n2", "/data/a"))
	e := client.AsError(err)
	switch {
	case e == nil:
	case errors.Is(err, &client.Error{Reason: xferv1.Reason_REASON_SOURCE_NOT_FOUND.Name()}):
		fmt.Println("nothing to copy today")
	case e.Retryable:
		time.Sleep(e.RetryAfter)
	default:
		log.Fatal(e.Reason, ": ", e.Message)
	}
}

// A controller lists what there is and then follows every change, without a gap
// in between.
func ExampleClient_Watch() {
	c, err := client.Dial(client.DefaultServer, client.Options{Patience: -1})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	list, err := c.List(ctx, &xferv1.ListTransfersRequest{Parent: client.AllNodes})
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range list.Transfers {
		fmt.Println(t.GetName(), t.GetState())
	}
	for event, err := range c.Watch(ctx, client.WatchOptions{Token: list.WatchToken}) {
		if err != nil {
			log.Fatal(err)
		}
		if t := event.Transfer; t != nil {
			fmt.Println(t.GetName(), t.GetState(), t.GetCounters().GetBytesDone())
		}
	}
}

// What could be done without doing it: which transport, where it lands, is there
// space.
func ExampleClient_Validate() {
	c, err := client.Dial(client.DefaultServer, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	spec := client.Copy("n1", "/data/a", "n2", "/data/a")
	plan, err := c.Validate(context.Background(), spec)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(plan.GetTransport(), plan.GetReason(), plan.GetFreeBytes())
}
