// SPDX-License-Identifier: GPL-2.0
/*
 * Nanoseconds for one direct 4 KiB transfer: transfer DEVICE read|write COUNT RUNS
 * prints one number for each run. Where the clock counts instructions, so do the numbers.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int transfer(int fd, int writes, void *buffer, long count)
{
	for (long i = 0; i < count; i++) {
		ssize_t n = writes ? pwrite(fd, buffer, 4096, i * 4096) : pread(fd, buffer, 4096, i * 4096);

		if (n != 4096)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	void *buffer;

	if (argc != 5 || posix_memalign(&buffer, 4096, 4096))
		return 2;
	int writes = !strcmp(argv[2], "write");
	long count = atol(argv[3]), runs = atol(argv[4]);
	int fd = open(argv[1], (writes ? O_WRONLY : O_RDONLY) | O_DIRECT);

	memset(buffer, 0x5a, 4096);
	if (fd < 0 || count < 1 || transfer(fd, writes, buffer, count)) {
		perror(argv[1]);
		return 1;
	}
	for (long run = 0; run < runs; run++) {
		long long begin = now_ns();

		if (transfer(fd, writes, buffer, count)) {
			perror(argv[1]);
			return 1;
		}
		printf("%lld\n", (now_ns() - begin) / count);
		fflush(stdout);
	}
	return 0;
}
