#include "table.h"

#ifdef XFERV_HEADERS
#include <string.h>

// From IBV_ACCESS_OPTIONAL_FIRST on, rights are ignored where they are not known.
#define XFERV_ACCESS_OPTIONAL 0x3ff00000u

// made ends a function that makes an object.
static void *made(void *object, int *err)
{
	*err = object ? 0 : xferv_errno();
	return object;
}

void *xferv_alloc_pd(const struct xferv *v, void *ctx, int *err)
{
	errno = 0;
	return made(v->alloc_pd(ctx), err);
}

int xferv_dealloc_pd(const struct xferv *v, void *pd) { return xferv_rc(v->dealloc_pd(pd)); }

void *xferv_reg_mr(const struct xferv *v, void *pd, void *addr, size_t length, unsigned access, uint32_t *lkey, uint32_t *rkey, int *err)
{
	struct ibv_mr *mr;

	errno = 0;
	// Only the newer function knows which kernels must not be shown the
	// optional rights.
	if ((access & XFERV_ACCESS_OPTIONAL) && v->reg_mr_iova2)
		mr = v->reg_mr_iova2(pd, addr, length, (uintptr_t)addr, access);
	else
		mr = v->reg_mr(pd, addr, length, access & ~XFERV_ACCESS_OPTIONAL);
	if (mr) {
		*lkey = mr->lkey;
		*rkey = mr->rkey;
	}
	return made(mr, err);
}

int xferv_dereg_mr(const struct xferv *v, void *mr) { return xferv_rc(v->dereg_mr(mr)); }

static void address(struct ibv_ah_attr *to, const struct xferv_address *a)
{
	memset(to, 0, sizeof(*to));
	to->dlid = a->dlid;
	to->sl = a->sl;
	to->port_num = a->port;
	to->is_global = a->is_global;
	if (a->is_global) {
		memcpy(to->grh.dgid.raw, a->dgid, sizeof(a->dgid));
		to->grh.flow_label = a->flow_label;
		to->grh.sgid_index = a->sgid_index;
		to->grh.hop_limit = a->hop_limit;
		to->grh.traffic_class = a->traffic_class;
	}
}

int xferv_check_address(const struct xferv *v, void *pd, const struct xferv_address *a)
{
	struct ibv_ah_attr attr;

	address(&attr, a);
	errno = 0;
	struct ibv_ah *ah = v->create_ah(pd, &attr);
	if (!ah)
		return -xferv_errno();
	return xferv_rc(v->destroy_ah(ah));
}

void *xferv_create_channel(const struct xferv *v, void *ctx, int *err)
{
	errno = 0;
	return made(v->create_comp_channel(ctx), err);
}

int xferv_destroy_channel(const struct xferv *v, void *channel) { return xferv_rc(v->destroy_comp_channel(channel)); }

int xferv_channel_fd(void *channel) { return ((struct ibv_comp_channel *)channel)->fd; }

void *xferv_create_cq(const struct xferv *v, void *ctx, int cqe, void *channel, int *err)
{
	errno = 0;
	return made(v->create_cq(ctx, cqe, NULL, channel, 0), err);
}

int xferv_destroy_cq(const struct xferv *v, void *cq) { return xferv_rc(v->destroy_cq(cq)); }

void *xferv_create_qp(const struct xferv *v, void *pd, void *send_cq, void *recv_cq, struct xferv_qp_cap *cap, uint32_t *number, int *err)
{
	struct ibv_qp_init_attr a = {
		.send_cq = send_cq,
		.recv_cq = recv_cq,
		.cap = {
			.max_send_wr = cap->send_wr,
			.max_recv_wr = cap->recv_wr,
			.max_send_sge = cap->send_sge,
			.max_recv_sge = cap->recv_sge,
			.max_inline_data = cap->inline_data,
		},
		.qp_type = IBV_QPT_RC,
	};

	errno = 0;
	struct ibv_qp *qp = v->create_qp(pd, &a);
	if (qp) {
		*number = qp->qp_num;
		cap->send_wr = a.cap.max_send_wr;
		cap->recv_wr = a.cap.max_recv_wr;
		cap->send_sge = a.cap.max_send_sge;
		cap->recv_sge = a.cap.max_recv_sge;
		cap->inline_data = a.cap.max_inline_data;
	}
	return made(qp, err);
}

int xferv_destroy_qp(const struct xferv *v, void *qp) { return xferv_rc(v->destroy_qp(qp)); }

int xferv_to_init(const struct xferv *v, void *qp, int port, int pkey_index, unsigned access)
{
	struct ibv_qp_attr a = {
		.qp_state = IBV_QPS_INIT,
		.pkey_index = pkey_index,
		.port_num = port,
		.qp_access_flags = access,
	};

	return xferv_rc(v->modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS));
}

int xferv_to_rtr(const struct xferv *v, void *qp, const struct xferv_rtr *r)
{
	struct ibv_qp_attr a = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = r->path_mtu,
		.dest_qp_num = r->dest_qp,
		.rq_psn = r->psn,
		.max_dest_rd_atomic = r->max_dest_rd_atomic,
		.min_rnr_timer = r->min_rnr_timer,
	};

	address(&a.ah_attr, &r->address);
	return xferv_rc(v->modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
						     IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER));
}

int xferv_to_rts(const struct xferv *v, void *qp, const struct xferv_rts *r)
{
	struct ibv_qp_attr a = {
		.qp_state = IBV_QPS_RTS,
		.sq_psn = r->psn,
		.timeout = r->timeout,
		.retry_cnt = r->retry_cnt,
		.rnr_retry = r->rnr_retry,
		.max_rd_atomic = r->max_rd_atomic,
	};

	return xferv_rc(v->modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
						     IBV_QP_MAX_QP_RD_ATOMIC));
}

int xferv_to_err(const struct xferv *v, void *qp)
{
	struct ibv_qp_attr a = {.qp_state = IBV_QPS_ERR};

	return xferv_rc(v->modify_qp(qp, &a, IBV_QP_STATE));
}

int xferv_state(const struct xferv *v, void *qp)
{
	struct ibv_qp_attr a;
	struct ibv_qp_init_attr init;

	memset(&a, 0, sizeof(a));
	memset(&init, 0, sizeof(init));
	int rc = xferv_rc(v->query_qp(qp, &a, IBV_QP_STATE, &init));
	return rc ? rc : (int)a.qp_state;
}
#endif
