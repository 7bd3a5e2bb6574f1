/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions in place of what Rust cannot call: macros, inline functions, and
 * calls whose signature differs between kernels. No function here decides
 * anything; each is one call, or the plain fields of one call.
 */
#ifndef DM_REMAP_HELPERS_H
#define DM_REMAP_HELPERS_H

#include <linux/types.h>
#include <linux/device-mapper.h>
#include <linux/bio.h>
#include <linux/completion.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/delay.h>
#include <linux/srcu.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/* Provided by Rust, called by module.c. */
int dm_remap_rust_init(void);
void dm_remap_rust_exit(void);

/* Module parameters, defined in module.c. */
extern unsigned int dmr_debug_level;
extern unsigned int dmr_error_threshold;
extern bool dmr_auto_remap_enabled;
extern bool dmr_enable_production_mode;
extern unsigned int dmr_max_remaps;
extern unsigned int dmr_emergency_threshold;
extern unsigned int dmr_max_retries_production;

/* The queue limits that a decision is made about; a field that a kernel has not is 0. */
struct dmr_limits {
	unsigned int logical_block_size;
	unsigned int physical_block_size;
	unsigned int alignment_offset;
	unsigned int io_min;
	unsigned int io_opt;
	unsigned int max_sectors;
	unsigned int max_hw_sectors;
	unsigned int max_dev_sectors;
	unsigned int max_user_sectors;
	unsigned int chunk_sectors;
	unsigned int max_discard_sectors;
	unsigned int max_hw_discard_sectors;
	unsigned int discard_granularity;
	unsigned int discard_alignment;
	unsigned int max_write_zeroes_sectors;
	unsigned int max_hw_wzeroes_unmap_sectors;
	bool misaligned;
	bool discard_misaligned;
};

struct module *dmr_this_module(void);
void dmr_print(int level, const char *text, size_t len);
bool dmr_print_allowed(bool loss);

/*
 * A name and a key make a class, which is what lockdep judges: all locks that one line of C makes would be of one class otherwise. The key
 * stands in the module's data.
 */
void dmr_mutex_init(struct mutex *lock, const char *name, struct lock_class_key *key);
void dmr_mutex_lock(struct mutex *lock);
int dmr_mutex_lock_killable(struct mutex *lock);
bool dmr_fatal_signal_pending(void);
void dmr_mutex_unlock(struct mutex *lock);
void dmr_spin_lock_init(spinlock_t *lock, const char *name, struct lock_class_key *key);
unsigned long dmr_spin_lock_irqsave(spinlock_t *lock);
void dmr_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags);
int dmr_srcu_init(struct srcu_struct *srcu);
void dmr_sleep_us(unsigned int us);
void dmr_waitqueue_init(wait_queue_head_t *queue);
void dmr_wait_event(wait_queue_head_t *queue, bool (*ready)(const void *), const void *data);
void dmr_wait_event_idle(wait_queue_head_t *queue, bool (*ready)(const void *), const void *data);
void dmr_wake_up_all(wait_queue_head_t *queue);
void dmr_completion_init(struct completion *done);
void dmr_wait_for_io(struct completion *done);

void *dmr_vzalloc(size_t size);
void dmr_vfree(const void *ptr);
struct bvec_iter dmr_bvec_iter_advanced(struct bio *bio, struct bvec_iter iter, unsigned int bytes);
void dmr_bio_copy(struct bio *bio, struct bvec_iter from, u8 *buffer, size_t len, bool to_bio);

struct workqueue_struct *dmr_workqueue_new(const char *name, int max_active);
void dmr_delayed_work_init(struct delayed_work *work, void (*run)(struct work_struct *),
			   const char *name, struct lock_class_key *key);
bool dmr_delayed_work_queue(struct workqueue_struct *queue, struct delayed_work *work,
			    unsigned int milliseconds);

u64 dmr_monotonic_ns(void);

void dmr_random(void *buffer, size_t len);
void *dmr_kvzalloc(size_t size);
void dmr_kvfree(const void *ptr);

int dmr_get_device(struct dm_target *ti, const char *path, struct dm_dev **dev);
sector_t dmr_bdev_sectors(struct block_device *bdev);
unsigned int dmr_bdev_logical_block_size(struct block_device *bdev);
unsigned int dmr_bdev_physical_block_size(struct block_device *bdev);
int dmr_bdev_alignment_offset(struct block_device *bdev);
bool dmr_bdev_is_zoned(struct block_device *bdev);
bool dmr_bdev_fua_flushes(struct block_device *bdev);
bool dmr_table_is_writable(struct dm_table *table);
u32 dmr_mapped_device_number(struct dm_table *table);
bool dmr_bdev_discards(struct block_device *bdev);
void dmr_limits_get(const struct queue_limits *limits, struct dmr_limits *to);
void dmr_limits_of_part(struct block_device *bdev, sector_t start, struct dmr_limits *to);
void dmr_limits_put(struct queue_limits *limits, const struct dmr_limits *from);
void dmr_bio_redirect(struct bio *bio, struct block_device *bdev, sector_t sector);
void dmr_bio_leave_queue(struct bio *bio);
unsigned int dmr_bio_target_bio_nr(struct bio *bio);
int dmr_status_to_errno(blk_status_t status);

#endif
