// SPDX-License-Identifier: GPL-2.0
/*
 * Counts the calls that dm_remap makes to some functions, and has one of them fail without being
 * run. For scenarios: it needs nothing in the module under test, so that what is tested is what is
 * shipped.
 *
 *   functions=NAME[=VALUE],...  what is watched; with a value, which a failing call returns, it can fail;
 *                             NAME@ can be made slow
 *   caller=MODULE             of functions that belong to no module (not MODULE:NAME), calls from elsewhere
 *                             are neither counted nor failed
 *   nth=N                     the Nth call from now on fails; 0: none. Writable
 *   failed                    how many calls were made to fail
 *   slow_ms=N                 a call of a function that can be made slow sleeps so many milliseconds first, one at a time. Writable
 *   sleeping                  whether one sleeps
 *   counts                    NAME=CALLS for each function, without failed ones; a write sets all to zero
 */
#include <linux/delay.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/objtool.h>
#include <linux/slab.h>

#define WATCHED_MAX 16

static char *functions[WATCHED_MAX];
static int function_count;
module_param_array(functions, charp, &function_count, 0444);

static char *caller = "";
module_param(caller, charp, 0444);

static unsigned int slow_ms;
module_param(slow_ms, uint, 0644);

static atomic_t left = ATOMIC_INIT(0);
static atomic_t failures = ATOMIC_INIT(0);

struct watched {
	struct kprobe probe;
	char name[KSYM_NAME_LEN];
	long value;
	bool can_fail;
	bool can_be_slow;
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
 * What a slow call runs first: it sleeps where the function would, with its arguments put by, and returns into the function. There
 * the probe finds that this task has slept.
 */
static struct task_struct *sleeper;
static bool slept;
static unsigned long slow_function;

static int sleeping_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", !!READ_ONCE(sleeper));
}

static const struct kernel_param_ops sleeping_ops = { .get = sleeping_get };
module_param_cb(sleeping, &sleeping_ops, NULL, 0444);

asmlinkage void fail_call_slow(void);
asmlinkage __used unsigned long fail_call_sleep(void);
asmlinkage __used unsigned long fail_call_sleep(void)
{
	msleep(READ_ONCE(slow_ms));
	slept = true;
	return slow_function;
}
asm(".text\n"
    ".type fail_call_slow, @function\n"
    "fail_call_slow:\n"
    ANNOTATE_NOENDBR
    "push %rdi\npush %rsi\npush %rdx\npush %rcx\npush %r8\npush %r9\n"
    "call fail_call_sleep\n"
    "pop %r9\npop %r8\npop %rcx\npop %rdx\npop %rsi\npop %rdi\n"
    "push %rax\n"
    ASM_RET
    ".size fail_call_slow, .-fail_call_slow\n");
STACK_FRAME_NON_STANDARD(fail_call_slow);

/* Whether this call is to sleep first. */
static bool is_slow(struct watched *w)
{
	if (READ_ONCE(sleeper) == current && slept) {
		WRITE_ONCE(sleeper, NULL);
		return false;
	}
	if (!w->can_be_slow || !READ_ONCE(slow_ms) || cmpxchg(&sleeper, NULL, current))
		return false;
	slept = false;
	slow_function = (unsigned long)w->probe.addr;
	return true;
}
NOKPROBE_SYMBOL(is_slow);

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
	if (is_slow(w)) {
		regs->ip = (unsigned long)fail_call_slow;
		return 1;
	}
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
	const char *value = function + strcspn(function, "=@");

	if (value - function >= KSYM_NAME_LEN)
		return -EINVAL;
	w->can_fail = *value == '=';
	w->can_be_slow = *value == '@';
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
