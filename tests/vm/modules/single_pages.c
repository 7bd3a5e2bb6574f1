// SPDX-License-Identifier: GPL-2.0
/*
 * Has allocations of many pages side by side fail, as they do when all free memory is in pieces. For scenarios.
 *
 *   function=NAME  what allocates pages on this kernel; its second argument is the order
 *   order=N        larger ones fail
 *   process=NAME   of processes that are called so
 *   failed         how many were made to fail
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/objtool.h>
#include <linux/sched.h>

static char *function = "";
module_param(function, charp, 0444);

static unsigned int order;
module_param(order, uint, 0444);

static char *process = "";
module_param(process, charp, 0444);

static atomic_t failures = ATOMIC_INIT(0);

static int failed_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&failures));
}

static const struct kernel_param_ops failed_ops = { .get = failed_get };
module_param_cb(failed, &failed_ops, NULL, 0444);

/* What a failing call runs in place of the function: no page is in its register by then. */
asmlinkage void single_pages_return(void);
asm(".text\n"
    ".type single_pages_return, @function\n"
    "single_pages_return:\n"
    ANNOTATE_NOENDBR
    ASM_RET
    ".size single_pages_return, .-single_pages_return\n");

static int called(struct kprobe *probe, struct pt_regs *regs)
{
	if ((unsigned int)regs->si <= order || strcmp(current->comm, process))
		return 0;
	atomic_inc(&failures);
	regs->ax = 0;
	regs->ip = (unsigned long)single_pages_return;
	return 1;
}
NOKPROBE_SYMBOL(called);

/* Its being there tells kprobes that the instruction pointer may be changed. */
static void returned(struct kprobe *probe, struct pt_regs *regs, unsigned long flags)
{
}

static struct kprobe probe = { .pre_handler = called, .post_handler = returned };

static int __init single_pages_init(void)
{
	probe.symbol_name = function;
	return register_kprobe(&probe);
}

static void __exit single_pages_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(single_pages_init);
module_exit(single_pages_exit);
MODULE_DESCRIPTION("has allocations of many pages side by side fail");
MODULE_LICENSE("GPL");
