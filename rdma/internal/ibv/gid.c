#include "table.h"

#ifdef XFERV_HEADERS
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// attribute reads the first line of a file of the GID table in sysfs. Entries
// that are empty or not to be seen give EINVAL.
static int attribute(struct ibv_context *c, int port, const char *dir, int index, char *line, size_t size)
{
	char path[IBV_SYSFS_PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/ports/%d/gid_attrs/%s/%d", c->device->ibdev_path, port, dir, index);
	FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	char *got = fgets(line, size, f);
	fclose(f);
	if (!got)
		return -1;
	line[strcspn(line, "\n")] = 0;
	return 0;
}

// scan is for libraries before rdma-core 32.
static int scan(const struct xferv *v, struct ibv_context *c, int ports, struct xferv_gid *out, int max)
{
	static const uint8_t zero[16];
	struct xferv_port_attr a;
	char line[64];
	int n = 0;

	for (int port = 1; port <= ports; port++) {
		int rc = xferv_query_port(v, c, port, &a);
		if (rc)
			return rc;
		for (int i = 0; i < a.gid_tbl_len; i++) {
			union ibv_gid gid;
			struct xferv_gid e = {.port = port, .index = i};

			if (v->query_gid(c, port, i, &gid) || !memcmp(gid.raw, zero, sizeof(zero)))
				continue;
			memcpy(e.gid, gid.raw, sizeof(e.gid));
			if (!attribute(c, port, "types", i, line, sizeof(line))) {
				if (!strcmp(line, "RoCE v2"))
					e.type = 2;
				else if (a.link_layer == IBV_LINK_LAYER_ETHERNET)
					e.type = 1;
			}
			if (!attribute(c, port, "ndevs", i, line, sizeof(line)))
				e.ifindex = if_nametoindex(line);
			if (n < max)
				out[n] = e;
			n++;
		}
	}
	return n;
}

int xferv_gids(const struct xferv *v, void *ctx, int ports, struct xferv_gid *out, int max)
{
	if (v->query_gid_table) {
		ssize_t n = v->query_gid_table(ctx, out, max, 0, sizeof(*out));
		if (n != -EOPNOTSUPP)
			return n;
	}
	return scan(v, ctx, ports, out, max);
}
#endif
