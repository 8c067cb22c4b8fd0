package lifecycle

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
)

func (f *fakeEdge) Post()     { f.posts <- struct{}{} }
func (f *fakeEdge) EndPosts() { f.endPosts <- struct{}{} }

// committed is the result of a post.
func committed(generation uint64) transfer.Result {
	return transfer.Result{Kind: transfer.KindRegion, Outcome: transfer.OutcomePublished, Generation: generation, Bytes: 10}
}

func (r *rig) prepare(id string, change ...func(*transfer.Spec)) {
	r.t.Helper()
	s := r.submission(id)
	s.Spec.Prepared = true
	for _, f := range change {
		f(&s.Spec)
	}
	if _, _, err := r.e.Submit(r.t.Context(), s); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) open(id string) *PostStream {
	r.t.Helper()
	p, err := r.e.OpenPosts(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *rig) post(p *PostStream, sequences ...uint64) {
	r.t.Helper()
	for _, n := range sequences {
		if err := p.Post(n); err != nil {
			r.t.Fatal(err)
		}
	}
}

// answer wants the next news to be that of a post.
func (r *rig) answer(p *PostStream, sequence, generation uint64) {
	r.t.Helper()
	n, err := p.Next(r.t.Context())
	if err != nil || n.Ready || n.Posted.Sequence != sequence || n.Posted.Generation != generation || (n.Posted.Err != nil) != (generation == 0) {
		r.t.Fatalf("news %+v, %v; want post %d with generation %d", n, err, sequence, generation)
	}
}

// The edge has one post at a time, in order, and everybody is told.
func TestPosts(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.prepare("a")
		edge := <-r.edges
		p := r.open("a")
		r.post(p, 7, 8, 9)
		edge.obs.Path("tcp", "", "")
		edge.obs.Ready("tcp")
		if n, err := p.Next(t.Context()); err != nil || !n.Ready || n.Posted.Transport != "tcp" {
			t.Fatalf("%+v, %v", n, err)
		}
		for n := range uint64(3) {
			<-edge.posts
			if len(edge.posts) > 0 {
				t.Fatal("two posts at a time")
			}
			if n == 1 {
				edge.obs.Result(transfer.Result{Outcome: transfer.OutcomeFailed, Err: &transfer.Error{Reason: transfer.SourceIOError}})
				r.answer(p, 8, 0)
				continue
			}
			edge.obs.Result(committed(100 + n))
			r.answer(p, 7+n, 100+n)
		}
		time.Sleep(time.Second)
		got, _ := r.e.Get(t.Context(), "a")
		if s := got.Posts; s.Done != 2 || s.Failed != 1 || s.Last.IsZero() || got.Generation != 102 || got.State != transfer.StateRunning {
			t.Errorf("%+v, generation %d", s, got.Generation)
		}
		p.End()
		if _, err := p.Next(t.Context()); err != io.EOF {
			t.Errorf("after the last: %v", err)
		}
	})
}

// One at a time posts, not without end, and only what is prepared.
func TestPostsRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		refused := func(what string, err error, want transfer.Reason) {
			t.Helper()
			if transfer.ReasonOf(err) != want {
				t.Errorf("%s: %v, want %s", what, err, want)
			}
		}
		r.submit("plain")
		plain := <-r.edges
		_, err := r.e.OpenPosts(t.Context(), "plain")
		refused("one that is not prepared", err, transfer.BadState)
		_, err = r.e.FinishPosts(t.Context(), "plain")
		refused("finish one that is not prepared", err, transfer.BadState)
		plain.end <- good
		r.prepare("a")
		edge := <-r.edges
		p := r.open("a")
		_, err = r.e.OpenPosts(t.Context(), "a")
		refused("a second one", err, transfer.PostsBusy)
		for n := range uint64(transfer.MaxPosts) {
			r.post(p, n)
		}
		refused("too many", p.Post(99), transfer.PostsLimit)
		_ = p.Close()
		if err := p.Post(1); err == nil {
			t.Error("a post after Close")
		}
		// What was on its way is nobody's now, and what waited is dropped.
		p = r.open("a")
		r.post(p, 50)
		<-edge.posts
		edge.obs.Result(committed(1))
		<-edge.posts
		edge.obs.Result(committed(2))
		r.answer(p, 50, 2)
		if len(edge.posts) > 0 {
			t.Error("what was dropped is posted")
		}
		if _, err := r.e.Pause(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		r.want("a", transfer.StatePaused)
		_, err = r.e.FinishPosts(t.Context(), "a")
		refused("finish a paused one", err, transfer.BadState)
		if _, err := r.e.Cancel(t.Context(), "a", false, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // the target does not answer
		r.want("a", transfer.StateCancelled)
		_, err = r.e.OpenPosts(t.Context(), "a")
		refused("one that is over", err, transfer.AlreadyFinished)
		_, err = r.e.FinishPosts(t.Context(), "a")
		refused("finish one that is over", err, transfer.AlreadyFinished)
	})
}

// A post that was on its way when the edge broke, or was paused, goes again by the next.
func TestPostsSurviveEdges(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.prepare("a")
		p := r.open("a")
		r.post(p, 1, 2)
		edge := <-r.edges
		<-edge.posts
		edge.end <- lost
		edge = <-r.edges
		<-edge.posts
		edge.obs.Result(committed(5))
		r.answer(p, 1, 5)
		<-edge.posts
		if _, err := r.e.Pause(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		r.want("a", transfer.StatePaused)
		r.post(p, 3)
		if _, err := r.e.Resume(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		edge = <-r.edges
		for n := range uint64(2) {
			<-edge.posts
			edge.obs.Result(committed(6 + n))
			r.answer(p, 2+n, 6+n)
		}
	})
}

// Finish ends the transfer after what was posted, also over a restart of the node.
func TestFinishPosts(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		r.prepare("a")
		p := r.open("a")
		r.post(p, 1)
		edge := <-r.edges
		<-edge.posts
		for range 2 {
			if _, err := r.e.FinishPosts(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		if transfer.ReasonOf(p.Post(2)) != transfer.BadState {
			t.Error("a post after the finish")
		}
		if len(edge.endPosts) > 0 {
			t.Error("it ends with a post on its way")
		}
		edge.obs.Result(committed(3))
		<-edge.endPosts
		r.answer(p, 1, 3)
		r.stop()

		r = newRig(t, dir)
		defer r.stop()
		edge = <-r.edges
		<-edge.endPosts
		edge.end <- good
		r.want("a", transfer.StateSucceeded)
		if got, err := r.e.FinishPosts(t.Context(), "a"); err != nil || got.State != transfer.StateSucceeded {
			t.Errorf("%v, %v", got.State, err)
		}
	})
}

// However a prepared transfer ends, everything that was posted has an answer, and who
// posts is told.
func TestEndsOfPosts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*transfer.Spec)
		end    func(r *rig, edge *fakeEdge)
		want   transfer.State
		reason transfer.Reason
	}{
		{name: "finish", end: func(r *rig, edge *fakeEdge) {
			_, _ = r.e.FinishPosts(context.Background(), "a")
			edge.obs.Result(committed(1))
			<-edge.posts
			edge.obs.Result(committed(2))
			<-edge.endPosts
			edge.end <- good
		}, want: transfer.StateSucceeded},
		{name: "cancel", end: func(r *rig, _ *fakeEdge) { _, _ = r.e.Cancel(context.Background(), "a", false, "") }, want: transfer.StateCancelled, reason: transfer.Cancelled},
		{name: "deadline", change: func(s *transfer.Spec) { s.Deadline = time.Now().Add(time.Hour) },
			end: func(*rig, *fakeEdge) { time.Sleep(2 * time.Hour) }, want: transfer.StateFailed, reason: transfer.DeadlineExceeded},
		{name: "it does not move", end: func(*rig, *fakeEdge) { time.Sleep(time.Hour) }, want: transfer.StateFailed, reason: transfer.Stalled},
		{name: "it fails", end: func(_ *rig, edge *fakeEdge) {
			edge.end <- func() (s sender.Summary, err error) {
				return s, &transfer.Error{Reason: transfer.RegionGone, Err: errors.New("gone")}
			}
		}, want: transfer.StateFailed, reason: transfer.RegionGone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, dir string) {
				r := newRig(t, dir)
				defer r.stop()
				if tt.change == nil {
					tt.change = func(*transfer.Spec) {}
				}
				r.prepare("a", tt.change)
				p := r.open("a")
				r.post(p, 1, 2)
				edge := <-r.edges
				<-edge.posts
				tt.end(r, edge)
				r.want("a", tt.want)
				for n := range uint64(2) {
					x, err := p.Next(t.Context())
					if err != nil || x.Posted.Sequence != n+1 || tt.reason != "" && (x.Posted.Err == nil || x.Posted.Err.Reason != tt.reason) {
						t.Errorf("answer %d: %+v, %v", n, x, err)
					}
				}
				if _, err := p.Next(t.Context()); tt.reason == "" && err != io.EOF || tt.reason != "" && transfer.ReasonOf(err) != tt.reason {
					t.Errorf("the end: %v", err)
				}
			})
		})
	}
}

// Without anybody who could post a prepared transfer ends after the stall time; with
// an open stream it stays, as long as it is.
func TestIdlePosts(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.prepare("a")
		edge := <-r.edges
		p := r.open("a")
		edge.obs.Ready("tcp")
		if n, err := p.Next(t.Context()); err != nil || !n.Ready {
			t.Fatalf("%+v, %v", n, err)
		}
		time.Sleep(3 * time.Hour)
		r.post(p, 1)
		<-edge.posts
		time.Sleep(5 * time.Minute)
		edge.obs.Result(committed(1))
		r.answer(p, 1, 1)
		time.Sleep(time.Hour)
		r.want("a", transfer.StateRunning)
		_ = p.Close()
		time.Sleep(9 * time.Minute)
		r.want("a", transfer.StateRunning)
		time.Sleep(2 * time.Minute)
		r.want("a", transfer.StateFailed)
		if got, _ := r.e.Get(t.Context(), "a"); got.Err == nil || got.Err.Reason != transfer.PostsIdle {
			t.Errorf("%v", got.Err)
		}
	})
}

// An edge that broke after a long quiet time is no sign of being stuck.
func TestQuietPostsAreNotStuck(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.prepare("a")
		p := r.open("a")
		defer p.Close()
		for range 5 {
			edge := <-r.edges
			edge.obs.Ready("tcp")
			time.Sleep(time.Hour)
			edge.end <- lost
			synctest.Wait()
		}
		<-r.edges
		r.want("a", transfer.StateRunning)
	})
}
