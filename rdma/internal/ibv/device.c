#include "table.h"

#ifdef XFERV_HEADERS
#include <endian.h>
#include <stdio.h>
#include <string.h>

void *xferv_devices(const struct xferv *v, int *n, int *err)
{
	errno = 0;
	*n = 0;
	void *list = v->get_device_list(n);
	*err = list ? 0 : xferv_errno();
	return list;
}

void xferv_device_at(const struct xferv *v, void *list, int i, struct xferv_device *out)
{
	struct ibv_device *d = ((struct ibv_device **)list)[i];
	const char *name = v->get_device_name(d);

	memset(out, 0, sizeof(*out));
	snprintf(out->name, sizeof(out->name), "%s", name ? name : "");
	out->guid = be64toh(v->get_device_guid(d));
	out->transport = d->transport_type;
}

void *xferv_open(const struct xferv *v, void *list, int i, int *err)
{
	errno = 0;
	void *ctx = v->open_device(((struct ibv_device **)list)[i]);
	*err = ctx ? 0 : xferv_errno();
	return ctx;
}

void xferv_free_devices(const struct xferv *v, void *list) { v->free_device_list(list); }

int xferv_close(const struct xferv *v, void *ctx)
{
	errno = 0;
	return xferv_rc(v->close_device(ctx));
}

int xferv_query_device(const struct xferv *v, void *ctx, struct xferv_device_attr *out)
{
	struct ibv_device_attr a;

	memset(&a, 0, sizeof(a));
	int rc = xferv_rc(v->query_device(ctx, &a));
	if (rc)
		return rc;
	memset(out, 0, sizeof(*out));
	snprintf(out->firmware, sizeof(out->firmware), "%.*s", (int)sizeof(out->firmware) - 1, a.fw_ver);
	out->max_mr_size = a.max_mr_size;
	out->vendor_id = a.vendor_id;
	out->vendor_part = a.vendor_part_id;
	out->ports = a.phys_port_cnt;
	out->max_qp = a.max_qp;
	out->max_qp_wr = a.max_qp_wr;
	out->max_sge = a.max_sge;
	out->max_cq = a.max_cq;
	out->max_cqe = a.max_cqe;
	out->max_mr = a.max_mr;
	out->max_pd = a.max_pd;
	out->max_qp_rd_atom = a.max_qp_rd_atom;
	out->max_qp_init_rd_atom = a.max_qp_init_rd_atom;
	out->ack_delay = a.local_ca_ack_delay;
	return 0;
}

int xferv_query_port(const struct xferv *v, void *ctx, int port, struct xferv_port_attr *out)
{
	struct ibv_context *c = ctx;
	struct verbs_context *vctx = verbs_get_ctx_op(c, query_port);
	struct ibv_port_attr a;
	int rc;

	// The exported function fills only the first part of the struct, as it was
	// in the first versions.
	memset(&a, 0, sizeof(a));
	if (vctx)
		rc = vctx->query_port(c, port, &a, sizeof(a));
	else
		rc = v->query_port(c, port, (struct _compat_ibv_port_attr *)&a);
	rc = xferv_rc(rc);
	if (rc)
		return rc;
	memset(out, 0, sizeof(*out));
	out->max_msg_sz = a.max_msg_sz;
	out->gid_tbl_len = a.gid_tbl_len;
	out->pkey_tbl_len = a.pkey_tbl_len;
	out->lid = a.lid;
	out->sm_lid = a.sm_lid;
	out->state = a.state;
	out->link_layer = a.link_layer;
	out->active_mtu = a.active_mtu;
	out->max_mtu = a.max_mtu;
	out->active_width = a.active_width;
	out->active_speed = a.active_speed;
	out->grh_required = !!(a.flags & IBV_QPF_GRH_REQUIRED);
	return 0;
}

int xferv_async_fd(void *ctx) { return ((struct ibv_context *)ctx)->async_fd; }

int xferv_next_event(const struct xferv *v, void *ctx, struct xferv_event *out)
{
	struct ibv_async_event e;

	errno = 0;
	if (v->get_async_event(ctx, &e))
		return -xferv_errno();
	memset(out, 0, sizeof(*out));
	out->type = e.event_type;
	switch (e.event_type) {
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
	case IBV_EVENT_COMM_EST:
	case IBV_EVENT_SQ_DRAINED:
	case IBV_EVENT_PATH_MIG:
	case IBV_EVENT_PATH_MIG_ERR:
	case IBV_EVENT_QP_LAST_WQE_REACHED:
		// Destroying the queue pair waits for the acknowledgement below, so
		// it is still there.
		out->qp = e.element.qp->qp_num;
		break;
	case IBV_EVENT_PORT_ACTIVE:
	case IBV_EVENT_PORT_ERR:
	case IBV_EVENT_LID_CHANGE:
	case IBV_EVENT_PKEY_CHANGE:
	case IBV_EVENT_SM_CHANGE:
	case IBV_EVENT_CLIENT_REREGISTER:
	case IBV_EVENT_GID_CHANGE:
		out->port = e.element.port_num;
		break;
	default:
		break;
	}
	v->ack_async_event(&e);
	return 0;
}
#endif
