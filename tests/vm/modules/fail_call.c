// SPDX-License-Identifier: GPL-2.0
/*
 * Counts the calls that dm_remap makes to some functions, and has one of them fail without being
 * run. For scenarios: it needs nothing in the module under test, so that what is tested is what is
 * shipped.
 *
 *   functions=NAME[=VALUE],...  what is watched; with a value, which a failing call returns, it can fail
 *   caller=MODULE             of functions that belong to no module (not MODULE:NAME), calls from elsewhere
 *                             are neither counted nor failed
 *   nth=N                     the Nth call from now on fails; 0: none. Writable
 *   failed                    how many calls were made to fail
 *   counts                    NAME=CALLS for each function, without failed ones; a write sets all to zero
 */
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/slab.h>

#define WATCHED_MAX 16

static char *functions[WATCHED_MAX];
static int function_count;
module_param_array(functions, charp, &function_count, 0444);

static char *caller = "";
module_param(caller, charp, 0444);

static atomic_t left = ATOMIC_INIT(0);
static atomic_t failures = ATOMIC_INIT(0);

struct watched {
	struct kprobe probe;
	char name[KSYM_NAME_LEN];
	long value;
	bool can_fail;
	bool own;
	atomic_t calls;
};

static struct watched *watched;
static int registered;

static int nth_set(const char *val, const struct kernel_param *kp)
{
	int n, err = kstrtoint(val, 10, &n);

	if (!err)
		atomic_set(&left, n);
	return err;
}

static int nth_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&left));
}

static const struct kernel_param_ops nth_ops = { .set = nth_set, .get = nth_get };
module_param_cb(nth, &nth_ops, NULL, 0644);

static int failed_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&failures));
}

static const struct kernel_param_ops failed_ops = { .get = failed_get };
module_param_cb(failed, &failed_ops, NULL, 0444);

static int counts_set(const char *val, const struct kernel_param *kp)
{
	int i;

	for (i = 0; i < registered; i++)
		atomic_set(&watched[i].calls, 0);
	return 0;
}

static int counts_get(char *buffer, const struct kernel_param *kp)
{
	int i, len = 0;

	for (i = 0; i < registered; i++)
		len += sysfs_emit_at(buffer, len, "%s=%d\n", watched[i].name,
				     atomic_read(&watched[i].calls));
	return len;
}

static const struct kernel_param_ops counts_ops = { .set = counts_set, .get = counts_get };
module_param_cb(counts, &counts_ops, NULL, 0644);

/* What a failing call runs in place of the function: the value is in its register by then. */
asmlinkage void fail_call_return(void);
asm(".text\n"
    ".type fail_call_return, @function\n"
    "fail_call_return:\n"
    /* Its last line has an end of its own only in older kernels. */
    ANNOTATE_NOENDBR "\n"
    ASM_RET
    ".size fail_call_return, .-fail_call_return\n");

/*
 * Whether it is the module that calls. A call from the end of a function is a jump, and the caller's caller is found: not asked of
 * a module's own functions, and right for others as long as the module calls those functions itself.
 */
static bool is_from_caller(struct pt_regs *regs)
{
	char name[KSYM_SYMBOL_LEN], *module;

	sprint_symbol(name, *(unsigned long *)regs->sp);
	module = strrchr(name, '[');
	return module && !strncmp(module + 1, caller, strlen(caller)) &&
	       module[1 + strlen(caller)] == ']';
}
NOKPROBE_SYMBOL(is_from_caller);

static int called(struct kprobe *probe, struct pt_regs *regs)
{
	struct watched *w = container_of(probe, struct watched, probe);

	if (!w->own && !is_from_caller(regs))
		return 0;
	if (!w->can_fail || atomic_dec_if_positive(&left) != 0) {
		atomic_inc(&w->calls);
		return 0;
	}
	atomic_inc(&failures);
	regs->ax = w->value;
	regs->ip = (unsigned long)fail_call_return;
	return 1;
}
NOKPROBE_SYMBOL(called);

/* Its being there tells kprobes that the instruction pointer may be changed. */
static void returned(struct kprobe *probe, struct pt_regs *regs, unsigned long flags)
{
}

static int watch(struct watched *w, const char *function)
{
	const char *value = strchrnul(function, '=');

	if (value - function >= KSYM_NAME_LEN)
		return -EINVAL;
	w->can_fail = *value == '=';
	if (w->can_fail && kstrtol(value + 1, 10, &w->value))
		return -EINVAL;
	memcpy(w->name, function, value - function);
	w->own = strchr(w->name, ':');
	w->probe.symbol_name = w->name;
	w->probe.pre_handler = called;
	w->probe.post_handler = returned;
	return register_kprobe(&w->probe);
}

static void fail_call_exit(void)
{
	while (registered)
		unregister_kprobe(&watched[--registered].probe);
	kfree(watched);
}

static int __init fail_call_init(void)
{
	int err;

	watched = kcalloc(WATCHED_MAX, sizeof(*watched), GFP_KERNEL);
	if (!watched)
		return -ENOMEM;
	for (; registered < function_count; registered++) {
		err = watch(&watched[registered], functions[registered]);
		if (err) {
			pr_err("fail_call: %s: %d\n", functions[registered], err);
			fail_call_exit();
			return err;
		}
	}
	return 0;
}

module_init(fail_call_init);
module_exit(fail_call_exit);
MODULE_DESCRIPTION("has calls of a module under test fail");
MODULE_LICENSE("GPL");
