// SPDX-License-Identifier: GPL-2.0
/* Compiles where prepare_ioctl is also given the command, its argument and a way to forward it. */
/* Otherwise: from incompatible pointer type */
#include <linux/device-mapper.h>

static int prepare_ioctl(struct dm_target *ti, struct block_device **bdev,
			 unsigned int cmd, unsigned long arg, bool *forward)
{
	return 0;
}

extern struct target_type probe;
struct target_type probe = { .prepare_ioctl = prepare_ioctl };
