/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel interface that bindgen turns into kernel/rust/sys.rs at build time. */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/blk_types.h>
#include <linux/completion.h>
#include <linux/crc32c.h>
#include <linux/device-mapper.h>
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "helpers.h"

/* Constants that the kernel defines through casts, which bindgen does not evaluate. */
enum dmr_constants {
	DMR_TARGET_SINGLETON = DM_TARGET_SINGLETON,
	DMR_TARGET_NOWAIT = DM_TARGET_NOWAIT,
	DMR_GFP_NOIO = (__force unsigned int)GFP_NOIO,
	DMR_PAGE_BYTES = PAGE_SIZE,
	DMR_BIOSET_NEED_BVECS = BIOSET_NEED_BVECS,
	DMR_REQ_OP_MASK = (__force unsigned int)REQ_OP_MASK,
	DMR_STS_NOTSUPP = (__force unsigned int)BLK_STS_NOTSUPP,
	DMR_STS_TIMEOUT = (__force unsigned int)BLK_STS_TIMEOUT,
	DMR_STS_NOSPC = (__force unsigned int)BLK_STS_NOSPC,
	DMR_STS_TRANSPORT = (__force unsigned int)BLK_STS_TRANSPORT,
	DMR_STS_TARGET = (__force unsigned int)BLK_STS_TARGET,
	DMR_STS_MEDIUM = (__force unsigned int)BLK_STS_MEDIUM,
	DMR_STS_PROTECTION = (__force unsigned int)BLK_STS_PROTECTION,
	DMR_STS_RESOURCE = (__force unsigned int)BLK_STS_RESOURCE,
	DMR_STS_IOERR = (__force unsigned int)BLK_STS_IOERR,
	DMR_STS_AGAIN = (__force unsigned int)BLK_STS_AGAIN,
	DMR_STS_DM_REQUEUE = (__force unsigned int)BLK_STS_DM_REQUEUE,
#ifdef BLK_STS_INVAL
	DMR_STS_INVAL = (__force unsigned int)BLK_STS_INVAL,
#else
	DMR_STS_INVAL = DMR_STS_NOTSUPP,
#endif
};
