// SPDX-License-Identifier: GPL-2.0
#include <linux/blkdev.h>
#include <linux/bvec.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/random.h>
#include <linux/ratelimit.h>
#include <linux/vmalloc.h>

#include "helpers.h"
/* Written by the build: what Rust takes the layouts of the kernel's structures to be. */
#include "layout.h"

struct module *dmr_this_module(void)
{
	return THIS_MODULE;
}

void dmr_print(int level, const char *text, size_t len)
{
	printk("\001%c" "device-mapper: remap: %.*s\n", '0' + level, (int)len, text);
}

/*
 * One limit for all messages that I/O can cause any number of times, and one of their own for those that tell of a loss; the kernel says
 * how many it kept back.
 */
bool dmr_print_allowed(bool loss)
{
	static DEFINE_RATELIMIT_STATE(losses, DEFAULT_RATELIMIT_INTERVAL, 20);
	static DEFINE_RATELIMIT_STATE(others, DEFAULT_RATELIMIT_INTERVAL, 20);

	return __ratelimit(loss ? &losses : &others);
}

void dmr_mutex_init(struct mutex *lock, const char *name, struct lock_class_key *key)
{
	mutex_init(lock);
	lockdep_set_class_and_name(lock, key, name);
}

void dmr_mutex_lock(struct mutex *lock)
{
	mutex_lock(lock);
}

int dmr_mutex_lock_killable(struct mutex *lock)
{
	return mutex_lock_killable(lock);
}

bool dmr_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

void dmr_mutex_unlock(struct mutex *lock)
{
	mutex_unlock(lock);
}

void dmr_spin_lock_init(spinlock_t *lock, const char *name, struct lock_class_key *key)
{
	spin_lock_init(lock);
	lockdep_set_class_and_name(lock, key, name);
}

unsigned long dmr_spin_lock_irqsave(spinlock_t *lock)
{
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	return flags;
}

void dmr_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
	spin_unlock_irqrestore(lock, flags);
}

int dmr_srcu_init(struct srcu_struct *srcu)
{
	return init_srcu_struct(srcu);
}

void dmr_sleep_us(unsigned int us)
{
	usleep_range(us, us * 2);
}

void dmr_waitqueue_init(wait_queue_head_t *queue)
{
	init_waitqueue_head(queue);
}

void dmr_wait_event(wait_queue_head_t *queue, bool (*ready)(const void *), const void *data)
{
	wait_event(*queue, ready(data));
}

void dmr_wait_event_idle(wait_queue_head_t *queue, bool (*ready)(const void *), const void *data)
{
	wait_event_idle(*queue, ready(data));
}

void dmr_wake_up_all(wait_queue_head_t *queue)
{
	wake_up_all(queue);
}

void dmr_completion_init(struct completion *done)
{
	init_completion(done);
}

/* In pieces: a device may take longer for a request than a task may sleep before the kernel calls it hung. */
void dmr_wait_for_io(struct completion *done)
{
	while (!wait_for_completion_io_timeout(done, HZ))
		;
}

void *dmr_vzalloc(size_t size)
{
	return vzalloc(size);
}

void dmr_vfree(const void *ptr)
{
	vfree(ptr);
}

struct bvec_iter dmr_bvec_iter_advanced(struct bio *bio, struct bvec_iter iter, unsigned int bytes)
{
	bio_advance_iter(bio, &iter, bytes);
	return iter;
}

/* Copies between a buffer and the pages of a bio, from a position on, as far as both reach. */
void dmr_bio_copy(struct bio *bio, struct bvec_iter from, u8 *buffer, size_t len, bool to_bio)
{
	struct bvec_iter iter;
	struct bio_vec part;

	__bio_for_each_segment(part, bio, iter, from) {
		size_t bytes = min_t(size_t, part.bv_len, len);

		part.bv_len = bytes;
		if (to_bio)
			memcpy_to_bvec(&part, buffer);
		else
			memcpy_from_bvec(buffer, &part);
		buffer += bytes;
		len -= bytes;
		if (!len)
			break;
	}
}

struct workqueue_struct *dmr_workqueue_new(const char *name, int max_active)
{
	return alloc_workqueue("%s", WQ_MEM_RECLAIM | WQ_UNBOUND, max_active, name);
}

void dmr_delayed_work_init(struct delayed_work *work, void (*run)(struct work_struct *),
			   const char *name, struct lock_class_key *key)
{
	INIT_DELAYED_WORK(work, run);
	lockdep_init_map(&work->work.lockdep_map, name, key, 0);
}

bool dmr_delayed_work_queue(struct workqueue_struct *queue, struct delayed_work *work,
			    unsigned int milliseconds)
{
	return queue_delayed_work(queue, work, msecs_to_jiffies(milliseconds));
}

u64 dmr_monotonic_ns(void)
{
	return ktime_get_ns();
}

void dmr_random(void *buffer, size_t len)
{
	get_random_bytes(buffer, len);
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

int dmr_bdev_alignment_offset(struct block_device *bdev)
{
	return bdev_alignment_offset(bdev);
}

bool dmr_bdev_is_zoned(struct block_device *bdev)
{
	return bdev_is_zoned(bdev);
}

/* Without a write cache FUA asks for nothing. */
bool dmr_bdev_fua_flushes(struct block_device *bdev)
{
	return bdev_write_cache(bdev) && !bdev_fua(bdev);
}

/* The mode's type and flags have other names since 6.5. */
#ifndef BLK_OPEN_WRITE
#define BLK_OPEN_WRITE FMODE_WRITE
#endif

bool dmr_table_is_writable(struct dm_table *table)
{
	return dm_table_get_mode(table) & BLK_OPEN_WRITE;
}

u32 dmr_mapped_device_number(struct dm_table *table)
{
	return disk_devt(dm_disk(dm_table_get_md(table)));
}

bool dmr_bdev_discards(struct block_device *bdev)
{
	return bdev_max_discard_sectors(bdev);
}

/* Where a queue's limits have a lock they change under it. */
#ifdef DM_REMAP_LIMITS_LOCK
#define lock_limits(queue) mutex_lock(&(queue)->limits_lock)
#define unlock_limits(queue) mutex_unlock(&(queue)->limits_lock)
#else
#define lock_limits(queue)
#define unlock_limits(queue)
#endif

void dmr_limits_get(const struct queue_limits *limits, struct dmr_limits *to)
{
	to->logical_block_size = limits->logical_block_size;
	to->physical_block_size = limits->physical_block_size;
	to->alignment_offset = limits->alignment_offset;
	to->io_min = limits->io_min;
	to->io_opt = limits->io_opt;
	to->max_sectors = limits->max_sectors;
	to->max_hw_sectors = limits->max_hw_sectors;
	to->max_dev_sectors = limits->max_dev_sectors;
	to->chunk_sectors = limits->chunk_sectors;
	to->max_discard_sectors = limits->max_discard_sectors;
	to->max_hw_discard_sectors = limits->max_hw_discard_sectors;
	to->discard_granularity = limits->discard_granularity;
	to->discard_alignment = limits->discard_alignment;
	to->max_write_zeroes_sectors = limits->max_write_zeroes_sectors;
	/* Flags took the place of two fields, a few releases after users got a limit of their own. */
#ifdef BLK_FLAG_MISALIGNED
	to->max_user_sectors = limits->max_user_sectors;
	to->misaligned = limits->flags & BLK_FLAG_MISALIGNED;
	to->discard_misaligned = false;
#else
	to->max_user_sectors = 0;
	to->misaligned = limits->misaligned;
	to->discard_misaligned = limits->discard_misaligned;
#endif
#ifdef DM_REMAP_LIMITS_WZEROES_UNMAP
	to->max_hw_wzeroes_unmap_sectors = limits->max_hw_wzeroes_unmap_sectors;
#else
	to->max_hw_wzeroes_unmap_sectors = 0;
#endif
}

/* As they would be if nothing but this part of one device were stacked. */
void dmr_limits_of_part(struct block_device *bdev, sector_t start, struct dmr_limits *to)
{
	struct request_queue *queue = bdev_get_queue(bdev);
	struct queue_limits from;

	blk_set_stacking_limits(&from);
	lock_limits(queue);
	blk_stack_limits(&from, &queue->limits, get_start_sect(bdev) + start);
	unlock_limits(queue);
	dmr_limits_get(&from, to);
}

void dmr_limits_put(struct queue_limits *limits, const struct dmr_limits *from)
{
	limits->logical_block_size = from->logical_block_size;
	limits->physical_block_size = from->physical_block_size;
	limits->alignment_offset = from->alignment_offset;
	limits->io_min = from->io_min;
	limits->io_opt = from->io_opt;
	limits->max_sectors = from->max_sectors;
	limits->max_hw_sectors = from->max_hw_sectors;
	limits->max_dev_sectors = from->max_dev_sectors;
	limits->chunk_sectors = from->chunk_sectors;
	limits->max_discard_sectors = from->max_discard_sectors;
	limits->max_hw_discard_sectors = from->max_hw_discard_sectors;
	limits->discard_granularity = from->discard_granularity;
	limits->discard_alignment = from->discard_alignment;
	limits->max_write_zeroes_sectors = from->max_write_zeroes_sectors;
#ifdef BLK_FLAG_MISALIGNED
	limits->max_user_sectors = from->max_user_sectors;
	limits->flags &= ~BLK_FLAG_MISALIGNED;
	limits->flags |= from->misaligned ? BLK_FLAG_MISALIGNED : 0;
#else
	limits->misaligned = from->misaligned;
	limits->discard_misaligned = from->discard_misaligned;
#endif
#ifdef DM_REMAP_LIMITS_WZEROES_UNMAP
	limits->max_hw_wzeroes_unmap_sectors = from->max_hw_wzeroes_unmap_sectors;
#endif
}

void dmr_bio_redirect(struct bio *bio, struct block_device *bdev, sector_t sector)
{
	bio_set_dev(bio, bdev);
	bio->bi_iter.bi_sector = sector;
}

/*
 * The queue's own accounting of a bio has ended with it. Completed once more when it was repaired, it would be given to that again, at a time
 * when the queue may be gone.
 */
void dmr_bio_leave_queue(struct bio *bio)
{
	bio_clear_flag(bio, BIO_QOS_THROTTLED);
	bio_clear_flag(bio, BIO_QOS_MERGED);
}

unsigned int dmr_bio_target_bio_nr(struct bio *bio)
{
	return dm_bio_get_target_bio_nr(bio);
}

int dmr_status_to_errno(blk_status_t status)
{
	return blk_status_to_errno(status);
}
