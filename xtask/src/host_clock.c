// SPDX-License-Identifier: GPL-2.0
/*
 * Prints how many kHz the time stamp counter of this machine runs at, by the kernel's clock. Each reading is of the counter between
 * two of the clock; of many the one with the least time between them counts, so that a busy machine measures as well as an idle one.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define READINGS 1000
#define INTERVAL_NS 200000000

struct reading {
	int64_t clock_ns;
	uint64_t ticks;
	int64_t wide_ns;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static struct reading best(void)
{
	struct reading found = { .wide_ns = INT64_MAX };

	for (int i = 0; i < READINGS; i++) {
		int64_t before = now_ns();
		uint64_t ticks = __rdtsc();
		int64_t wide = now_ns() - before;

		if (wide < found.wide_ns)
			found = (struct reading){ before + wide / 2, ticks, wide };
	}
	return found;
}

int main(void)
{
	struct timespec pause = { .tv_nsec = INTERVAL_NS };
	struct reading first = best(), last;
	double ns;

	nanosleep(&pause, NULL);
	last = best();
	ns = last.clock_ns - first.clock_ns;
	printf("%.0f\n", (last.ticks - first.ticks) * 1e6 / ns);
	return 0;
}
