/* One side of a network: opens the TUN device of this namespace, listens at ports, hands the descriptors of all that to
 * whoever holds the other end of standard input, a Unix socket, and stays until that is closed; so does the namespace.
 *
 * side DEVICE [PORT...] */

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 8

static int check(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

static int device(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int descriptor = check(open("/dev/net/tun", O_RDWR | O_NONBLOCK), "/dev/net/tun");
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	check(ioctl(descriptor, TUNSETIFF, &request), name);
	return descriptor;
}

static int listener(const char *port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	int descriptor = check(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), "socket");
	check(bind(descriptor, (struct sockaddr *)&any, sizeof any), port);
	check(listen(descriptor, 128), "listen");
	return descriptor;
}

int main(int count, char **arguments)
{
	int handed[MOST] = { 0 }, handed_count = 0;
	char space[CMSG_SPACE(sizeof handed)] = { 0 };
	struct iovec byte = { .iov_base = "", .iov_len = 1 };
	struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1, .msg_control = space };
	if (count < 2 || count - 1 > MOST)
		return 64;
	handed[handed_count++] = device(arguments[1]);
	for (int at = 2; at < count; at++)
		handed[handed_count++] = listener(arguments[at]);
	message.msg_controllen = CMSG_SPACE(handed_count * sizeof *handed);
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(handed_count * sizeof *handed);
	memcpy(CMSG_DATA(rights), handed, handed_count * sizeof *handed);
	check(sendmsg(0, &message, 0), "sendmsg");
	for (int at = 0; at < handed_count; at++)
		close(handed[at]);
	char last;
	while (read(0, &last, 1) > 0)
		;
	return 0;
}
