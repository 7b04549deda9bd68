/* Another wall clock for the program that is started with this in LD_PRELOAD: it is ahead of the real one by as many
 * nanoseconds as the file named by WALL_OFFSET holds, a native 64-bit number. Timers at instants of that clock fire by
 * it, and at once when it is set, as the kernel's do when somebody sets the real one. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define MOST 1024

static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_settime)(int, int, const struct itimerspec *, struct itimerspec *);
static int (*real_create)(int, int);

static const volatile int64_t *ahead;
static int set_notice;
static pthread_mutex_t timers_lock = PTHREAD_MUTEX_INITIALIZER;
static char is_wall_timer[MOST], is_armed[MOST];

static int is_wall(clockid_t clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
}

static struct timespec moved(struct timespec from, int64_t by)
{
	__int128 all = (__int128)from.tv_sec * SECOND + from.tv_nsec + by;
	/* No kernel's clock shows what is before 1970. */
	if (all < 0)
		all = 0;
	struct timespec to = { .tv_sec = all / SECOND, .tv_nsec = all % SECOND };
	return to;
}

/* Ends the waits for instants of a clock that was set. */
static void *notice_settings(void *nothing)
{
	char events[4096];
	while (read(set_notice, events, sizeof events) > 0) {
		pthread_mutex_lock(&timers_lock);
		for (int at = 0; at < MOST; at++) {
			struct itimerspec now = { .it_value = { .tv_nsec = 1 } };
			/* A descriptor that is another one by now refuses. */
			if (is_armed[at])
				real_settime(at, TFD_TIMER_ABSTIME, &now, NULL);
			is_armed[at] = 0;
		}
		pthread_mutex_unlock(&timers_lock);
	}
	return nothing;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("WALL_OFFSET");
	real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	real_settime = dlsym(RTLD_NEXT, "timerfd_settime");
	real_create = dlsym(RTLD_NEXT, "timerfd_create");
	if (!path)
		return;
	int file = open(path, O_RDONLY | O_CLOEXEC);
	void *mapped = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
	set_notice = inotify_init1(IN_CLOEXEC);
	if (mapped == MAP_FAILED || inotify_add_watch(set_notice, path, IN_MODIFY) < 0)
		_exit(127);
	close(file);
	ahead = mapped;
	/* The program's signals are the program's. */
	sigset_t all, before;
	pthread_t thread;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	if (pthread_create(&thread, NULL, notice_settings, NULL))
		_exit(127);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	if (!real_gettime)
		real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	int result = real_gettime(clock, time);
	if (!result && ahead && is_wall(clock))
		*time = moved(*time, *ahead);
	return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	int result = clock_gettime(CLOCK_REALTIME, &now);
	if (!result)
		*time = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
	return result;
}

time_t time(time_t *result)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (result)
		*result = now.tv_sec;
	return now.tv_sec;
}

int timerfd_create(int clock, int flags)
{
	int timer = real_create(clock, flags);
	if (timer >= 0 && timer < MOST) {
		pthread_mutex_lock(&timers_lock);
		is_wall_timer[timer] = is_wall(clock);
		is_armed[timer] = 0;
		pthread_mutex_unlock(&timers_lock);
	}
	return timer;
}

int timerfd_settime(int timer, int flags, const struct itimerspec *when, struct itimerspec *before)
{
	struct itimerspec real = *when;
	if (!ahead || timer < 0 || timer >= MOST || !is_wall_timer[timer] || !(flags & TFD_TIMER_ABSTIME))
		return real_settime(timer, flags, when, before);
	pthread_mutex_lock(&timers_lock);
	int ends = when->it_value.tv_sec || when->it_value.tv_nsec;
	if (ends) {
		real.it_value = moved(when->it_value, -*ahead);
		/* What is over fires at once; nothing at all would disarm it. */
		if (!real.it_value.tv_sec && !real.it_value.tv_nsec)
			real.it_value.tv_nsec = 1;
	}
	is_armed[timer] = ends && (flags & TFD_TIMER_CANCEL_ON_SET);
	int result = real_settime(timer, flags, &real, before);
	pthread_mutex_unlock(&timers_lock);
	return result;
}
