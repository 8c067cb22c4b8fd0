// Where the headers are missing nothing can be loaded, so that nothing else is
// ever called; Go wants the names all the same.
#include "table.h"

#ifndef XFERV_HEADERS
#include <errno.h>
#include <stdio.h>

int xferv_headers(void) { return 0; }

struct xferv *xferv_load(const char *name, char *message, size_t size)
{
	snprintf(message, size, "%s: built without infiniband/verbs.h", name);
	return NULL;
}

#define V const struct xferv *v
#define NONE(type, name, args, value) type name args { return value; }
#define NOTHING(name, args) void name args {}

NOTHING(xferv_path, (V, char *path, size_t size))
NOTHING(xferv_forget_optional, (struct xferv *v))
NONE(void *, xferv_devices, (V, int *n, int *err), NULL)
NOTHING(xferv_device_at, (V, void *list, int i, struct xferv_device *out))
NONE(void *, xferv_open, (V, void *list, int i, int *err), NULL)
NOTHING(xferv_free_devices, (V, void *list))
NONE(int, xferv_close, (V, void *ctx), -ENOSYS)
NONE(int, xferv_query_device, (V, void *ctx, struct xferv_device_attr *out), -ENOSYS)
NONE(int, xferv_query_port, (V, void *ctx, int port, struct xferv_port_attr *out), -ENOSYS)
NONE(int, xferv_gids, (V, void *ctx, int ports, struct xferv_gid *out, int max), -ENOSYS)
NONE(int, xferv_async_fd, (void *ctx), -1)
NONE(int, xferv_next_event, (V, void *ctx, struct xferv_event *out), -ENOSYS)
NONE(void *, xferv_alloc_pd, (V, void *ctx, int *err), NULL)
NONE(int, xferv_dealloc_pd, (V, void *pd), -ENOSYS)
NONE(void *, xferv_reg_mr, (V, void *pd, void *addr, size_t length, unsigned access, uint32_t *lkey, uint32_t *rkey, int *err), NULL)
NONE(int, xferv_dereg_mr, (V, void *mr), -ENOSYS)
NONE(int, xferv_check_address, (V, void *pd, const struct xferv_address *a), -ENOSYS)
NONE(void *, xferv_create_channel, (V, void *ctx, int *err), NULL)
NONE(int, xferv_destroy_channel, (V, void *channel), -ENOSYS)
NONE(int, xferv_channel_fd, (void *channel), -1)
NONE(int, xferv_next_cq_events, (V, void *channel), -ENOSYS)
NONE(void *, xferv_create_cq, (V, void *ctx, int cqe, void *channel, int *err), NULL)
NONE(int, xferv_destroy_cq, (V, void *cq), -ENOSYS)
NONE(int, xferv_req_notify, (void *cq, int solicited_only), -ENOSYS)
NONE(int, xferv_poll, (void *cq, struct xferv_wc *out, int n), -ENOSYS)
NONE(void *, xferv_create_qp, (V, void *pd, void *send_cq, void *recv_cq, struct xferv_qp_cap *cap, uint32_t *number, int *err), NULL)
NONE(int, xferv_destroy_qp, (V, void *qp), -ENOSYS)
NONE(int, xferv_to_init, (V, void *qp, int port, int pkey_index, unsigned access), -ENOSYS)
NONE(int, xferv_to_rtr, (V, void *qp, const struct xferv_rtr *a), -ENOSYS)
NONE(int, xferv_to_rts, (V, void *qp, const struct xferv_rts *a), -ENOSYS)
NONE(int, xferv_to_err, (V, void *qp), -ENOSYS)
NONE(int, xferv_state, (V, void *qp), -ENOSYS)
NONE(int64_t, xferv_post_send, (void *qp, const struct xferv_send *rs, int n), (int64_t)ENOSYS << 32)
NONE(int64_t, xferv_post_recv, (void *qp, const struct xferv_recv *rs, int n), (int64_t)ENOSYS << 32)
#endif
