// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel offers only as macros over a module's own translation unit:
 * its licence, its entry points and its parameters. Everything else is Rust.
 */
#include <linux/module.h>

#include "helpers.h"

static int __init dm_remap_module_init(void)
{
	return dm_remap_rust_init();
}

static void __exit dm_remap_module_exit(void)
{
	dm_remap_rust_exit();
}

module_init(dm_remap_module_init);
module_exit(dm_remap_module_exit);

MODULE_DESCRIPTION("device-mapper target that keeps a disk with bad sectors in service");
MODULE_AUTHOR("The dm-remap authors");
MODULE_LICENSE("GPL");
