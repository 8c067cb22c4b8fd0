// The hot path: one crossing from Go for a batch, nothing allocated, nothing
// that blocks.
#include "table.h"

#ifdef XFERV_HEADERS
#include <arpa/inet.h>
#include <string.h>

_Static_assert(sizeof(struct xferv_sge) == sizeof(struct ibv_sge), "an element goes through as it is");
_Static_assert(offsetof(struct xferv_sge, length) == offsetof(struct ibv_sge, length), "an element goes through as it is");
_Static_assert(offsetof(struct xferv_sge, key) == offsetof(struct ibv_sge, lkey), "an element goes through as it is");

static int64_t posted(int n, int rc) { return ((int64_t)(rc < 0 ? -rc : rc) << 32) | (uint32_t)n; }

int64_t xferv_post_send(void *qp, const struct xferv_send *rs, int n)
{
	struct ibv_send_wr wrs[XFERV_BATCH], *bad;

	for (int done = 0; done < n;) {
		int batch = n - done < XFERV_BATCH ? n - done : XFERV_BATCH;

		memset(wrs, 0, sizeof(wrs[0]) * batch);
		for (int i = 0; i < batch; i++) {
			const struct xferv_send *r = &rs[done + i];
			struct ibv_send_wr *wr = &wrs[i];

			if (r->num_sge > XFERV_MAX_SGE) { // post what is before it
				batch = i;
				break;
			}
			wr->wr_id = r->id;
			wr->next = &wrs[i + 1];
			wr->sg_list = (struct ibv_sge *)r->sge;
			wr->num_sge = r->num_sge;
			wr->opcode = r->op;
			wr->send_flags = r->flags;
			wr->imm_data = htonl(r->imm);
			wr->wr.rdma.remote_addr = r->remote_addr;
			wr->wr.rdma.rkey = r->remote_key;
		}
		if (!batch)
			return posted(done, EINVAL);
		wrs[batch - 1].next = NULL;
		bad = NULL;
		errno = 0;
		int rc = xferv_rc(ibv_post_send(qp, wrs, &bad));
		// An error without a bad request is one of the doorbell: the requests
		// are in the queue, and the device can come to them later.
		if (rc)
			return posted(done + (bad ? (int)(bad - wrs) : batch), rc);
		done += batch;
	}
	return posted(n, 0);
}

int64_t xferv_post_recv(void *qp, const struct xferv_recv *rs, int n)
{
	struct ibv_recv_wr wrs[XFERV_BATCH], *bad;

	for (int done = 0; done < n;) {
		int batch = n - done < XFERV_BATCH ? n - done : XFERV_BATCH;

		for (int i = 0; i < batch; i++) {
			const struct xferv_recv *r = &rs[done + i];

			if (r->num_sge > XFERV_MAX_SGE) {
				batch = i;
				break;
			}
			wrs[i] = (struct ibv_recv_wr){
				.wr_id = r->id,
				.next = &wrs[i + 1],
				.sg_list = (struct ibv_sge *)r->sge,
				.num_sge = r->num_sge,
			};
		}
		if (!batch)
			return posted(done, EINVAL);
		wrs[batch - 1].next = NULL;
		bad = NULL;
		errno = 0;
		int rc = xferv_rc(ibv_post_recv(qp, wrs, &bad));
		if (rc)
			return posted(done + (bad ? (int)(bad - wrs) : batch), rc);
		done += batch;
	}
	return posted(n, 0);
}

int xferv_poll(void *cq, struct xferv_wc *out, int n)
{
	struct ibv_wc wcs[XFERV_BATCH];
	int done = 0;

	while (done < n) {
		int batch = n - done < XFERV_BATCH ? n - done : XFERV_BATCH;
		int got = ibv_poll_cq(cq, batch, wcs);

		// Numbers of errors differ between providers.
		if (got < 0)
			return done ? done : -EIO;
		for (int i = 0; i < got; i++) {
			const struct ibv_wc *wc = &wcs[i];
			struct xferv_wc *o = &out[done + i];

			memset(o, 0, sizeof(*o));
			o->id = wc->wr_id;
			o->status = wc->status;
			o->vendor_err = wc->vendor_err;
			o->qp = wc->qp_num;
			if (wc->status != IBV_WC_SUCCESS)
				continue; // the rest is not set
			o->op = wc->opcode;
			o->bytes = wc->byte_len;
			o->flags = wc->wc_flags & IBV_WC_WITH_IMM;
			if (o->flags)
				o->imm = ntohl(wc->imm_data);
		}
		done += got;
		if (got < batch)
			break;
	}
	return done;
}

int xferv_req_notify(void *cq, int solicited_only) { return xferv_rc(ibv_req_notify_cq(cq, solicited_only)); }

int xferv_next_cq_events(const struct xferv *v, void *channel)
{
	struct ibv_cq *last = NULL, *cq;
	unsigned unacked = 0;
	int n = 0, err;
	void *context;

	for (;;) {
		errno = 0;
		if (v->get_cq_event(channel, &cq, &context)) {
			err = xferv_errno();
			if (err == EINTR)
				continue;
			break;
		}
		// Acknowledging takes a lock, so do it once for a run of events; but
		// keep no queue waiting that somebody wants to destroy.
		if (cq != last && unacked) {
			v->ack_cq_events(last, unacked);
			unacked = 0;
		}
		last = cq;
		unacked++;
		n++;
	}
	if (unacked)
		v->ack_cq_events(last, unacked);
	return n || err == EAGAIN ? n : -err;
}
#endif
