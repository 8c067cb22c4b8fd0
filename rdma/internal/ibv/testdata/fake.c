// A library that looks like libibverbs and loops back what is posted: each
// request becomes a completion that says how it was seen. Built by the tests of
// package rdma; FAKE_* in the environment make it fail.
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define ROOM 150 // requests of a queue, completions of a queue

static int knob(const char *name)
{
	const char *v = getenv(name);
	return v ? atoi(v) : 0;
}

static struct ibv_device devices[2] = {
	{.transport_type = IBV_TRANSPORT_IB, .name = "fake0"},
	{.transport_type = IBV_TRANSPORT_IWARP, .name = "fake1"},
};

struct context {
	struct ibv_context c;
	int events; // the end of async_fd to write to
};

struct channel {
	struct ibv_comp_channel c;
	int events, queues;
};

struct queue {
	struct ibv_cq c;
	struct ibv_wc wcs[2 * ROOM];
	int n, armed, delivered, acked;
};

EXPORT struct ibv_device **ibv_get_device_list(int *n)
{
	if (knob("FAKE_LIST_ERRNO")) {
		errno = knob("FAKE_LIST_ERRNO");
		return NULL;
	}
	*n = knob("FAKE_EMPTY") ? 0 : 2;
	struct ibv_device **list = calloc(3, sizeof(*list));
	for (int i = 0; i < *n; i++)
		list[i] = &devices[i];
	return list;
}
EXPORT void ibv_free_device_list(struct ibv_device **list) { free(list); }
EXPORT const char *ibv_get_device_name(struct ibv_device *d) { return d->name; }
EXPORT __be64 ibv_get_device_guid(struct ibv_device *d) { return htobe64(0x1122334455667700 + (d - devices)); }

// post_send tells how it saw a request by a completion that cannot be: elements
// as bytes, key as vendor error, the first byte of the immediate in flags.
static int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct queue *q = (struct queue *)qp->send_cq;

	if (knob("FAKE_DOORBELL")) {
		*bad = NULL;
		return EIO;
	}
	for (int chain = 1; wr; wr = wr->next, chain++) {
		if (q->n == ROOM || chain > 64) {
			*bad = wr;
			return q->n == ROOM ? ENOMEM : E2BIG;
		}
		struct ibv_wc *wc = &q->wcs[q->n++];
		*wc = (struct ibv_wc){.wr_id = wr->wr_id, .qp_num = qp->qp_num, .opcode = wr->opcode == IBV_WR_RDMA_READ ? IBV_WC_RDMA_READ : IBV_WC_RDMA_WRITE};
		wc->byte_len = wr->num_sge;
		wc->vendor_err = wr->wr.rdma.rkey;
		if (wr->opcode == IBV_WR_RDMA_WRITE_WITH_IMM) {
			wc->wc_flags = IBV_WC_WITH_IMM | IBV_WC_GRH;
			wc->imm_data = wr->imm_data;
			wc->vendor_err = *(uint8_t *)&wr->imm_data;
		}
		for (int i = 0; i < wr->num_sge; i++)
			if (wr->sg_list[i].addr != wr->wr.rdma.remote_addr + i || wr->sg_list[i].lkey != wr->wr.rdma.rkey)
				wc->status = IBV_WC_LOC_PROT_ERR; // elements are not where they should be
	}
	if (q->armed && q->c.channel) {
		struct ibv_cq *c = &q->c;
		q->armed = 0;
		if (write(((struct channel *)q->c.channel)->events, &c, sizeof(c)) == sizeof(c))
			q->delivered++;
	}
	return 0;
}

static int post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct queue *q = (struct queue *)qp->recv_cq;

	for (; wr; wr = wr->next) {
		if (q->n == ROOM) {
			*bad = wr;
			return ENOMEM;
		}
		q->wcs[q->n++] = (struct ibv_wc){.wr_id = wr->wr_id, .opcode = IBV_WC_RECV, .byte_len = wr->num_sge};
	}
	return 0;
}

static int poll_cq(struct ibv_cq *cq, int n, struct ibv_wc *wc)
{
	struct queue *q = (struct queue *)cq;

	if (knob("FAKE_POLL"))
		return -3;
	n = n < q->n ? n : q->n;
	memcpy(wc, q->wcs, n * sizeof(*wc));
	q->n -= n;
	memmove(q->wcs, q->wcs + n, q->n * sizeof(*wc));
	return n;
}

static int req_notify(struct ibv_cq *cq, int solicited)
{
	((struct queue *)cq)->armed = 1 + solicited;
	return 0;
}

EXPORT struct ibv_context *ibv_open_device(struct ibv_device *d)
{
	int fds[2];

	if (knob("FAKE_OPEN_ERRNO")) {
		errno = knob("FAKE_OPEN_ERRNO");
		return NULL;
	}
	struct context *c = calloc(1, sizeof(*c));
	if (pipe2(fds, O_CLOEXEC))
		return NULL;
	c->c.device = d;
	c->c.async_fd = fds[0];
	c->events = fds[1];
	c->c.ops.post_send = post_send;
	c->c.ops.post_recv = post_recv;
	c->c.ops.poll_cq = poll_cq;
	c->c.ops.req_notify_cq = req_notify;
	return &c->c;
}
EXPORT int ibv_close_device(struct ibv_context *ctx)
{
	close(ctx->async_fd);
	close(((struct context *)ctx)->events);
	free(ctx);
	return 0;
}
EXPORT int ibv_query_device(struct ibv_context *ctx, struct ibv_device_attr *a)
{
	(void)ctx;
	memset(a, 'x', sizeof(a->fw_ver)); // without an end
	a->phys_port_cnt = 1;
	a->vendor_id = 0x15b3;
	return 0;
}
#undef ibv_query_port
EXPORT int ibv_query_port(struct ibv_context *ctx, uint8_t port, struct _compat_ibv_port_attr *p)
{
	struct ibv_port_attr *a = (struct ibv_port_attr *)p; // its first part

	(void)ctx;
	if (port != 1)
		return EINVAL;
	a->state = IBV_PORT_ACTIVE;
	a->active_mtu = IBV_MTU_2048;
	a->max_mtu = IBV_MTU_4096;
	a->gid_tbl_len = 4;
	a->active_speed = 32;
	a->active_width = 2;
	return 0;
}
EXPORT int ibv_query_gid(struct ibv_context *ctx, uint8_t port, int index, union ibv_gid *gid)
{
	(void)ctx;
	memset(gid, 0, sizeof(*gid));
	if (index == 2)
		gid->raw[15] = port;
	return index == 3 ? -1 : 0;
}
EXPORT int ibv_get_async_event(struct ibv_context *ctx, struct ibv_async_event *e)
{
	if (knob("FAKE_EVENT_ERRNO")) {
		errno = knob("FAKE_EVENT_ERRNO");
		return -1;
	}
	return read(ctx->async_fd, e, sizeof(*e)) == sizeof(*e) ? 0 : -1;
}
EXPORT void ibv_ack_async_event(struct ibv_async_event *e) { (void)e; }

EXPORT struct ibv_pd *ibv_alloc_pd(struct ibv_context *ctx)
{
	struct ibv_pd *pd = calloc(1, sizeof(*pd));
	pd->context = ctx;
	return pd;
}
EXPORT int ibv_dealloc_pd(struct ibv_pd *pd)
{
	if (knob("FAKE_DEALLOC_ERRNO"))
		return knob("FAKE_DEALLOC_ERRNO");
	free(pd);
	return 0;
}
#undef ibv_reg_mr
EXPORT struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
	struct ibv_mr *mr = calloc(1, sizeof(*mr));
	*mr = (struct ibv_mr){.context = pd->context, .pd = pd, .addr = addr, .length = length, .lkey = access, .rkey = 1};
	return mr;
}
EXPORT struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova, unsigned access)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, addr, length, access);
	mr->rkey = iova == (uintptr_t)addr ? 2 : 0;
	return mr;
}
EXPORT int ibv_dereg_mr(struct ibv_mr *mr) { free(mr); return 0; }
EXPORT struct ibv_ah *ibv_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *a)
{
	if (a->grh.sgid_index != 2 || !a->is_global) {
		errno = ENODATA;
		return NULL;
	}
	struct ibv_ah *ah = calloc(1, sizeof(*ah));
	ah->pd = pd;
	return ah;
}
EXPORT int ibv_destroy_ah(struct ibv_ah *ah) { free(ah); return 0; }

EXPORT struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *ctx)
{
	int fds[2];
	struct channel *c = calloc(1, sizeof(*c));

	if (pipe2(fds, O_CLOEXEC))
		return NULL;
	c->c.context = ctx;
	c->c.fd = fds[0];
	c->events = fds[1];
	return &c->c;
}
EXPORT int ibv_destroy_comp_channel(struct ibv_comp_channel *c)
{
	if (((struct channel *)c)->queues)
		return EBUSY;
	close(c->fd);
	close(((struct channel *)c)->events);
	free(c);
	return 0;
}
EXPORT struct ibv_cq *ibv_create_cq(struct ibv_context *ctx, int cqe, void *context, struct ibv_comp_channel *channel, int vector)
{
	struct queue *q = calloc(1, sizeof(*q));

	(void)vector;
	q->c.context = ctx;
	q->c.cq_context = context;
	q->c.cqe = cqe;
	q->c.channel = channel;
	if (channel)
		((struct channel *)channel)->queues++;
	return &q->c;
}
// The real one waits for ever when an event is not acknowledged.
EXPORT int ibv_destroy_cq(struct ibv_cq *cq)
{
	struct queue *q = (struct queue *)cq;

	if (q->delivered != q->acked)
		return EDEADLK;
	if (cq->channel)
		((struct channel *)cq->channel)->queues--;
	free(cq);
	return 0;
}
EXPORT int ibv_get_cq_event(struct ibv_comp_channel *c, struct ibv_cq **cq, void **context)
{
	if (knob("FAKE_EVENT_ERRNO")) {
		errno = knob("FAKE_EVENT_ERRNO");
		return -1;
	}
	if (read(c->fd, cq, sizeof(*cq)) != sizeof(*cq))
		return -1;
	*context = (*cq)->cq_context;
	return 0;
}
EXPORT void ibv_ack_cq_events(struct ibv_cq *cq, unsigned n) { ((struct queue *)cq)->acked += n; }

EXPORT struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *a)
{
	if (a->qp_type != IBV_QPT_RC || a->sq_sig_all) {
		errno = EINVAL;
		return NULL;
	}
	struct ibv_qp *qp = calloc(1, sizeof(*qp));
	*qp = (struct ibv_qp){.context = pd->context, .pd = pd, .send_cq = a->send_cq, .recv_cq = a->recv_cq, .qp_num = 0x1234};
	a->cap.max_send_wr = ROOM;
	a->cap.max_inline_data = 17;
	return qp;
}
// Going to ERR is told by an event of the queue pair.
EXPORT int ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *a, int mask)
{
	if (!(mask & IBV_QP_STATE))
		return EINVAL;
	if (a->qp_state == IBV_QPS_RTR && (a->dest_qp_num != 7 || a->rq_psn != 8 || a->path_mtu != IBV_MTU_1024 || a->ah_attr.grh.dgid.raw[15] != 9))
		return EINVAL;
	if (a->qp_state == IBV_QPS_ERR) {
		struct ibv_async_event e = {.element.qp = qp, .event_type = IBV_EVENT_QP_FATAL};
		if (write(((struct context *)qp->context)->events, &e, sizeof(e)) != sizeof(e))
			return EIO;
	}
	qp->state = a->qp_state;
	return 0;
}
EXPORT int ibv_query_qp(struct ibv_qp *qp, struct ibv_qp_attr *a, int mask, struct ibv_qp_init_attr *init)
{
	(void)mask;
	(void)init;
	a->qp_state = qp->state;
	return 0;
}
EXPORT int ibv_destroy_qp(struct ibv_qp *qp) { free(qp); return 0; }
