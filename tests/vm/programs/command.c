// SPDX-License-Identifier: GPL-2.0
/*
 * Sends a device what does not go through its queue of bios, and tells how it ended: "ok", or the name of the error.
 *
 *   command sg-write DEVICE SECTOR BYTE    WRITE(10) of one sector full of that byte, by SG_IO
 *   command sg-read DEVICE SECTOR          READ(10) of one sector; prints its first byte in hexadecimal
 *   command ioctl DEVICE NUMBER            any ioctl, with a zeroed page as its argument
 *   command register DEVICE KEY            IOC_PR_REGISTER
 *   command reserve DEVICE KEY             IOC_PR_RESERVE, exclusive for writing
 *   command release DEVICE KEY             IOC_PR_RELEASE
 *   command clear DEVICE KEY               IOC_PR_CLEAR
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pr.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static unsigned char page[4096];

static int sg(int fd, int is_write, unsigned long sector, int byte)
{
	unsigned char sense[64];
	unsigned char cdb[10] = { is_write ? 0x2a : 0x28, 0, sector >> 24, sector >> 16, sector >> 8, sector, 0, 0, 1, 0 };
	struct sg_io_hdr header = {
		.interface_id = 'S',
		.dxfer_direction = is_write ? SG_DXFER_TO_DEV : SG_DXFER_FROM_DEV,
		.cmd_len = sizeof(cdb),
		.mx_sb_len = sizeof(sense),
		.dxfer_len = 512,
		.dxferp = page,
		.cmdp = cdb,
		.sbp = sense,
		.timeout = 20000,
	};

	memset(page, byte, 512);
	if (ioctl(fd, SG_IO, &header) < 0)
		return -1;
	if ((header.info & SG_INFO_OK_MASK) != SG_INFO_OK) {
		errno = EIO;
		return -1;
	}
	return 0;
}

static int reservation(int fd, const char *what, unsigned long long key)
{
	struct pr_registration registration = { .new_key = key };
	struct pr_reservation held = { .key = key, .type = PR_WRITE_EXCLUSIVE };
	struct pr_clear all = { .key = key };

	if (!strcmp(what, "register"))
		return ioctl(fd, IOC_PR_REGISTER, &registration);
	if (!strcmp(what, "reserve"))
		return ioctl(fd, IOC_PR_RESERVE, &held);
	if (!strcmp(what, "release"))
		return ioctl(fd, IOC_PR_RELEASE, &held);
	return ioctl(fd, IOC_PR_CLEAR, &all);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	unsigned long long number;
	int fd, result;

	if (argc < 4)
		return 2;
	number = strtoull(argv[3], NULL, 0);
	fd = open(argv[2], (strcmp(what, "sg-read") ? O_RDWR : O_RDONLY) | O_NONBLOCK);
	/* A read-only device does not keep root from sending commands. */
	if (fd < 0 && (errno == EACCES || errno == EROFS))
		fd = open(argv[2], O_RDONLY | O_NONBLOCK);
	if (fd < 0) {
		perror(argv[2]);
		return 2;
	}
	if (!strcmp(what, "sg-write") && argc == 5)
		result = sg(fd, 1, number, strtol(argv[4], NULL, 0));
	else if (!strcmp(what, "sg-read"))
		result = sg(fd, 0, number, 0);
	else if (!strcmp(what, "ioctl"))
		result = ioctl(fd, number, page);
	else
		result = reservation(fd, what, number);
	if (result < 0)
		printf("%s\n", strerrorname_np(errno));
	else if (result > 0)
		printf("status %d\n", result);
	else if (!strcmp(what, "sg-read"))
		printf("%02x\n", page[0]);
	else
		printf("ok\n");
	return 0;
}
