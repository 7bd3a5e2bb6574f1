// SPDX-License-Identifier: GPL-2.0
/* Compiles where queue limits say how many sectors a write of zeroes can unmap, which the block layer compares with how many it can write. */
/* Otherwise: has no member named 'max_hw_wzeroes_unmap_sectors' */
#include <linux/blkdev.h>

void probe(struct queue_limits *limits);
void probe(struct queue_limits *limits)
{
	limits->max_hw_wzeroes_unmap_sectors = 0;
}
