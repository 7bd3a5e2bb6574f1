// SPDX-License-Identifier: GPL-2.0
/*
 * Makes a block device say that it takes secure erase, which no disk of a guest does. For scenarios.
 *
 *   fd=N   the device, open in the process that loads the module
 */
#include <linux/blkdev.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>

static int fd = -1;
module_param(fd, int, 0444);

static int __init offer_init(void)
{
	struct file *file = fget(fd);
	struct inode *inode;
	int err = -EINVAL;

	if (!file)
		return -EBADF;
	inode = file->f_mapping->host;
	if (S_ISBLK(inode->i_mode)) {
		/* Nobody else uses the device: the limits are read when it is opened or stacked upon. */
		bdev_get_queue(I_BDEV(inode))->limits.max_secure_erase_sectors = UINT_MAX >> SECTOR_SHIFT;
		err = 0;
	}
	fput(file);
	return err;
}

static void __exit offer_exit(void)
{
}

module_init(offer_init);
module_exit(offer_exit);
MODULE_DESCRIPTION("A block device that says that it takes secure erase");
MODULE_LICENSE("GPL");
