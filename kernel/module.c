// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel offers only as macros over a module's own translation unit:
 * its licence, its entry points and its parameters. Everything else is Rust.
 */
#include <linux/module.h>

#include "helpers.h"

unsigned int dmr_debug_level = 1;
unsigned int dmr_error_threshold = 3;
bool dmr_auto_remap_enabled = true;
bool dmr_enable_production_mode = true;
unsigned int dmr_max_remaps;
unsigned int dmr_emergency_threshold = 90;
unsigned int dmr_max_retries_production = 5;

/* A range as part of a parameter's type: each is one call of the kernel's own check. */
#define DMR_RANGE(name, min, max)							\
	static int name##_set(const char *val, const struct kernel_param *kp)		\
	{										\
		return param_set_uint_minmax(val, kp, min, max);			\
	}										\
	static const struct kernel_param_ops name##_ops = {				\
		.set = name##_set,							\
		.get = param_get_uint,							\
	}

DMR_RANGE(level, 0, 3);
DMR_RANGE(attempts, 1, 100);
DMR_RANGE(percent, 1, 100);
DMR_RANGE(retries, 0, 100);

module_param_cb(debug_level, &level_ops, &dmr_debug_level, 0644);
MODULE_PARM_DESC(debug_level, "0 failures, 1 changes of state, 2 every remapping, 3 every repair (default 1)");
module_param_cb(error_threshold, &attempts_ops, &dmr_error_threshold, 0644);
MODULE_PARM_DESC(error_threshold, "failed attempts on a physical block before it counts as bad, 1-100 (default 3)");
module_param_named(auto_remap_enabled, dmr_auto_remap_enabled, bool, 0644);
MODULE_PARM_DESC(auto_remap_enabled, "remap failed writes; 0: they pass up (default 1)");
module_param_named(enable_production_mode, dmr_enable_production_mode, bool, 0644);
MODULE_PARM_DESC(enable_production_mode, "0: laboratory, the breaker never opens (default 1)");
module_param_named(max_remaps, dmr_max_remaps, uint, 0644);
MODULE_PARM_DESC(max_remaps, "most slots in use on a device; 0: all (default 0)");
module_param_cb(emergency_threshold, &percent_ops, &dmr_emergency_threshold, 0644);
MODULE_PARM_DESC(emergency_threshold, "percent of slots in use that counts as nearly full, 1-100 (default 90)");
module_param_cb(max_retries_production, &retries_ops, &dmr_max_retries_production, 0644);
MODULE_PARM_DESC(max_retries_production, "retries of a block that fails a read, 0-100 (default 5)");

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
