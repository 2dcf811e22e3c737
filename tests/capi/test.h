/* What the tests of the C ABI share. */
#ifndef WALDO_TEST_H
#define WALDO_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "waldo.h"

#define CHECK(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
            _exit(1);                                                                  \
        }                                                                              \
    } while (0)

#define EQUAL(found, wanted)                                                           \
    do {                                                                               \
        int64_t found_ = (int64_t)(found), wanted_ = (int64_t)(wanted);                \
        if (found_ != wanted_) {                                                       \
            fprintf(stderr, "%s:%d: %s is %" PRId64 ", not %" PRId64 "\n", __FILE__,   \
                    __LINE__, #found, found_, wanted_);                                \
            _exit(1);                                                                  \
        }                                                                              \
    } while (0)

/* Requires a status, and that the error says the same. */
#define STATUS(call, wanted)                                                           \
    do {                                                                               \
        memset(&error, 0x5a, sizeof error);                                            \
        waldo_status status_ = (call);                                                 \
        if (status_ != (wanted) || error.status != status_) {                          \
            fprintf(stderr, "%s:%d: %s answers %s (%d), not %s: %s\n", __FILE__,       \
                    __LINE__, #call, waldo_status_name(status_), (int)error.status,    \
                    waldo_status_name(wanted), error.message);                         \
            _exit(1);                                                                  \
        }                                                                              \
        CHECK((status_ == WALDO_OK) == (error.message[0] == 0));                       \
        CHECK(memchr(error.message, 0, sizeof error.message) != NULL);                 \
    } while (0)

#define OK(call) STATUS(call, WALDO_OK)

/*
 * ThreadSanitizer lets no forked child start threads, and AddressSanitizer may have had the lock
 * of its allocator taken by another thread at the fork.
 */
#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#elif __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifdef TEST_TSAN
enum { TEST_FORKS = 0, TEST_BUSY_FORKS = 0 };
#elif defined(TEST_ASAN)
enum { TEST_FORKS = 1, TEST_BUSY_FORKS = 0 };
#else
enum { TEST_FORKS = 1, TEST_BUSY_FORKS = 1 };
#endif

static waldo_error error;

#define SECOND INT64_C(1000000000)

static inline waldo_options *test_options(void)
{
    waldo_options *options = NULL;
    const char *backend = getenv("WALDO_TEST_BACKEND");
    EQUAL(waldo_options_new(&options), WALDO_OK);
    OK(waldo_options_set_u64(options, "ring_size", 3, &error));
    OK(waldo_options_set_u64(options, "buf_capacity", 64 * 1024, &error));
    OK(waldo_options_set_u64(options, "index_capacity", 256, &error));
    OK(waldo_options_set_u64(options, "file_capacity", 512 * 1024, &error));
    OK(waldo_options_set_u64(options, "tail_capacity", 128 * 1024, &error));
    OK(waldo_options_set_u64(options, "read_capacity", 1024 * 1024, &error));
    OK(waldo_options_set(options, "backend", backend ? backend : "auto", &error));
    return options;
}

/* Opens a store in a directory of its own below the working directory. */
static inline waldo *test_open(const char *path)
{
    waldo_options *options = test_options();
    waldo *store = NULL;
    OK(waldo_open(path, options, &store, &error));
    CHECK(store != NULL);
    waldo_options_free(options);
    return store;
}

static inline waldo_log test_log(uint64_t seq_no, const char *text)
{
    waldo_log log;
    log.seq_no = seq_no;
    log.prev_seq_no = seq_no - 1;
    log.data = (const uint8_t *)text;
    log.len = strlen(text);
    return log;
}

static inline void test_append(waldo *store, uint64_t seq_no, const char *text)
{
    waldo_log log = test_log(seq_no, text);
    uint64_t last = 0;
    OK(waldo_append(store, &log, 1, 0, &last, &error));
    EQUAL(last, seq_no);
}

static inline waldo_completion test_take(waldo_queue *queue)
{
    waldo_completion completion;
    size_t count = 0;
    EQUAL(waldo_queue_wait(queue, &completion, 1, 1, 10 * SECOND, &count), WALDO_OK);
    EQUAL(count, 1);
    return completion;
}

/*
 * Ends a forked child. By another program, since what the parent's other threads held is lost in
 * the child, which valgrind would tell about.
 */
static inline void test_end_child(int code)
{
    char command[16];
    snprintf(command, sizeof command, "exit %d", code);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static inline void test_sleep_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Waits until a counter has a value; fails after a while. */
static inline void test_await(atomic_size_t *counter, size_t wanted)
{
    for (int round = 0; atomic_load(counter) < wanted; round++) {
        CHECK(round < 20000);
        test_sleep_ms(1);
    }
    EQUAL(atomic_load(counter), wanted);
}

#endif
