// SPDX-License-Identifier: GPL-2.0
#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>

#include "helpers.h"

struct module *dmr_this_module(void)
{
	return THIS_MODULE;
}

void dmr_print(int level, const char *text, size_t len)
{
	printk("\001%c" "device-mapper: remap: %.*s\n", '0' + level, (int)len, text);
}

/* One limit for all messages that I/O can cause; the kernel says how many it kept back. */
bool dmr_print_allowed(void)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL, 20);

	return __ratelimit(&limit);
}

void *dmr_kvzalloc(size_t size)
{
	return kvzalloc(size, GFP_KERNEL);
}

void dmr_kvfree(const void *ptr)
{
	kvfree(ptr);
}

int dmr_get_device(struct dm_target *ti, const char *path, struct dm_dev **dev)
{
	return dm_get_device(ti, path, dm_table_get_mode(ti->table), dev);
}

sector_t dmr_bdev_sectors(struct block_device *bdev)
{
	return bdev_nr_sectors(bdev);
}

unsigned int dmr_bdev_logical_block_size(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

unsigned int dmr_bdev_physical_block_size(struct block_device *bdev)
{
	return bdev_physical_block_size(bdev);
}

bool dmr_bdev_is_zoned(struct block_device *bdev)
{
	return bdev_is_zoned(bdev);
}

void dmr_bio_redirect(struct bio *bio, struct block_device *bdev, sector_t sector)
{
	bio_set_dev(bio, bdev);
	bio->bi_iter.bi_sector = sector;
}

unsigned int dmr_bio_target_bio_nr(struct bio *bio)
{
	return dm_bio_get_target_bio_nr(bio);
}

int dmr_status_to_errno(blk_status_t status)
{
	return blk_status_to_errno(status);
}

#ifdef DM_REMAP_PREPARE_IOCTL_CMD
static int prepare_ioctl(struct dm_target *ti, struct block_device **bdev,
			 unsigned int cmd, unsigned long arg, bool *forward)
{
	return dm_remap_rust_prepare_ioctl(ti, bdev);
}
#else
static int prepare_ioctl(struct dm_target *ti, struct block_device **bdev)
{
	return dm_remap_rust_prepare_ioctl(ti, bdev);
}
#endif

void dmr_set_prepare_ioctl(struct target_type *type)
{
	type->prepare_ioctl = prepare_ioctl;
}
