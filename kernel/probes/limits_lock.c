// SPDX-License-Identifier: GPL-2.0
/* Compiles where the limits of a queue have a lock. */
/* Otherwise: has no member named 'limits_lock' */
#include <linux/blkdev.h>

typedef char probe[offsetof(struct request_queue, limits_lock)];
