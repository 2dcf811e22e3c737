/*
 * Every status, from where a program meets it; and what its traits say is so. Failures of the
 * disk are those of the backend in memory; damage is done to files.
 */
#include "test.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Every status of the header; the test of this program compares it with the header. */
#define STATUSES(X)                                                                             \
    X(OK, 0)                                                                                    \
    X(INVALID_ARGUMENT, USAGE)                                                                  \
    X(OPTION, USAGE)                                                                            \
    X(AGAIN, RETRY)                                                                             \
    X(TIMEOUT, RETRY)                                                                           \
    X(CANCELLED, 0)                                                                             \
    X(WOULD_DEADLOCK, USAGE)                                                                    \
    X(BUSY, USAGE)                                                                              \
    X(CLOSED, FATAL)                                                                            \
    X(FORKED, FATAL | USAGE)                                                                    \
    X(PANIC, FATAL | MAYBE)                                                                     \
    X(NOT_FOUND, 0)                                                                             \
    X(IO, 0)                                                                                    \
    X(LOCKED, RETRY)                                                                            \
    X(NOT_A_STORE, 0)                                                                           \
    X(NEWER, 0)                                                                                 \
    X(CORRUPTION, 0)                                                                            \
    X(UNSUPPORTED, 0)                                                                           \
    X(POISONED, FATAL | MAYBE)                                                                  \
    X(NO_SPACE, RETRY | MAYBE)                                                                  \
    X(FULL, RETRY | MAYBE)                                                                      \
    X(SEQUENCE, MAYBE)                                                                          \
    X(ORDER, USAGE)                                                                             \
    X(EXCEEDS_LIMIT, USAGE)                                                                     \
    X(BATCH_TOO_LARGE, USAGE)                                                                   \
    X(EXHAUSTED, MAYBE)                                                                         \
    X(TRIMMED, RETRY)                                                                           \
    X(TRUNCATED, RETRY)

enum { RETRY = 1, FATAL = 2, MAYBE = 4, USAGE = 8, LOWEST = -61 };

/* Which were met, by their negative value. */
static char met[1 - LOWEST];

static waldo_status meet(waldo_status status)
{
    CHECK(status >= LOWEST && status <= 0);
    met[-status] = 1;
    return status;
}

/* Meets a status, which the error says, too. */
#define MEET(call, wanted) STATUS(meet(call), wanted)

static waldo *open_with(const char *path, waldo_options *options)
{
    waldo *store = NULL;
    OK(meet(waldo_open(path, options, &store, &error)));
    return store;
}

static waldo_options *in_memory(const char *fail, uint64_t after)
{
    waldo_options *options = test_options();
    OK(waldo_options_set(options, "backend", "memory", &error));
    OK(waldo_options_set(options, "memory.fail", fail, &error));
    OK(waldo_options_set_u64(options, "memory.fail_after", after, &error));
    return options;
}

static waldo_status append(waldo *store, size_t size)
{
    static const uint8_t zeros[1 << 20];
    const waldo_log log = {.data = zeros, .len = size};
    return meet(waldo_append(store, &log, 1, WALDO_APPEND_ASSIGN, NULL, &error));
}

static void close_store(waldo *store)
{
    OK(waldo_close(store, -1, &error));
    waldo_release(store);
}

/* The n-th write fails: what was acknowledged is there, and nothing goes on but reading. */
static void poisoned(const char *fail, int os_errno)
{
    waldo_options *options = in_memory(fail, 2), *healthy = in_memory("none", 0);
    uint64_t newest = 0;
    waldo_chunk *chunk = NULL;
    OK(waldo_options_set_u64(options, "memory.errno", 5, &error));
    waldo *store = open_with(fail, options);
    EQUAL(append(store, 10), WALDO_OK);
    EQUAL(append(store, 10), WALDO_OK);
    MEET(append(store, 10), WALDO_POISONED);
    EQUAL(error.os_errno, os_errno);
    /* Fatal: this handle will not work again. */
    STATUS(append(store, 10), WALDO_POISONED);
    STATUS(waldo_sync(store, &error), WALDO_POISONED);
    STATUS(waldo_trim(store, 1, &error), WALDO_POISONED);
    OK(waldo_query(store, WALDO_CURSOR_TRIM, 0, 0, 0, &chunk, &error));
    waldo_chunk_release(chunk);
    STATUS(waldo_query(store, WALDO_CURSOR_TIP, 0, WALDO_QUERY_WAIT, -1, &chunk, &error),
           WALDO_POISONED);
    STATUS(waldo_close(store, -1, &error), WALDO_POISONED);
    STATUS(append(store, 10), WALDO_CLOSED);
    waldo_release(store);
    store = open_with(fail, healthy);
    EQUAL(waldo_prev_seq_no(store, &newest), WALDO_OK);
    /* Maybe appended: a sync that failed may have come behind the bytes. */
    CHECK(newest == 2 || newest == 3);
    EQUAL(append(store, 10), WALDO_OK);
    close_store(store);
    waldo_options_free(options);
    waldo_options_free(healthy);
}

/* Reading fails twice, and then works. */
static void unreadable(void)
{
    waldo_options *options = in_memory("none", 0), *failing = in_memory("read", 0);
    waldo_chunk *chunk = NULL;
    waldo *store = open_with("unreadable", options);
    EQUAL(append(store, 10), WALDO_OK);
    close_store(store);
    OK(waldo_options_set_u64(failing, "memory.fail_count", 2, &error));
    OK(waldo_options_set_u64(failing, "memory.errno", 12, &error));
    store = open_with("unreadable", failing);
    for (int i = 0; i < 2; i++) {
        MEET(waldo_query(store, WALDO_CURSOR_TRIM, 0, 0, 0, &chunk, &error), WALDO_IO);
        EQUAL(error.os_errno, 12);
    }
    OK(waldo_query(store, WALDO_CURSOR_TRIM, 0, 0, 0, &chunk, &error));
    EQUAL(waldo_chunk_count(chunk), 1);
    waldo_chunk_release(chunk);
    close_store(store);
    waldo_options_free(options);
    waldo_options_free(failing);
}

/* The disk is full when the second page is prepared, until it is not. */
static void no_space(void)
{
    waldo_options *options = in_memory("space", 600 * 1024);
    waldo *store = open_with("no space", options);
    waldo_status status;
    int appended = 0, refused = 0;
    while ((status = append(store, 50000)) == WALDO_OK)
        CHECK(++appended < 100);
    EQUAL(status, WALDO_NO_SPACE);
    EQUAL(error.os_errno, 28);
    /* It can be tried again. */
    while ((status = append(store, 50000)) == WALDO_NO_SPACE)
        CHECK(++refused < 1000);
    EQUAL(status, WALDO_OK);
    close_store(store);
    waldo_options_free(options);
}

static void full(void)
{
    waldo_options *options = in_memory("none", 0);
    waldo_status status;
    OK(waldo_options_set(options, "retention", "refuse", &error));
    waldo *store = open_with("full", options);
    for (int i = 0; (status = append(store, 50000)) == WALDO_OK; i++)
        CHECK(i < 100);
    EQUAL(status, WALDO_FULL);
    EQUAL(error.actual, 1);
    STATUS(append(store, 50000), WALDO_FULL);
    uint64_t newest = 0;
    EQUAL(waldo_prev_seq_no(store, &newest), WALDO_OK);
    OK(waldo_trim(store, newest, &error));
    OK(append(store, 50000));
    close_store(store);
    waldo_options_free(options);
}

/* Appends that cannot be. */
static void refused(void)
{
    static const uint8_t large[1 << 20];
    waldo_options *options = in_memory("none", 0);
    waldo *store = open_with("refused", options);
    waldo_log logs[2] = {test_log(1, "x"), test_log(2, "y")};
    logs[1].prev_seq_no = 7;
    logs[1].seq_no = 8;
    MEET(waldo_append(store, logs, 2, 0, NULL, &error), WALDO_SEQUENCE);
    logs[1].prev_seq_no = 8;
    MEET(waldo_append(store, &logs[1], 1, 0, NULL, &error), WALDO_ORDER);
    MEET(append(store, sizeof large), WALDO_EXCEEDS_LIMIT);
    const uint64_t ends[3] = {40000, 80000, 120000};
    MEET(waldo_append_packed(store, large, 120000, ends, 3, WALDO_APPEND_ATOMIC, NULL, &error),
         WALDO_BATCH_TOO_LARGE);
    MEET(waldo_append(store, NULL, 1, 0, NULL, &error), WALDO_INVALID_ARGUMENT);
    MEET(waldo_options_set(options, "colour", "blue", &error), WALDO_OPTION);
    MEET(waldo_truncate(store, 77, &error), WALDO_NOT_FOUND);
    EQUAL(error.wanted, 77);
    /* None of that has left anything, and the largest number is the last. */
    logs[0].seq_no = UINT64_MAX;
    logs[0].prev_seq_no = 0;
    OK(waldo_append(store, logs, 1, 0, NULL, &error));
    MEET(append(store, 1), WALDO_EXHAUSTED);
    EQUAL(error.actual, UINT64_MAX);
    close_store(store);
    waldo_options_free(options);
}

/* Readers that come too late. */
static void gone(void)
{
    waldo_options *options = in_memory("none", 0);
    waldo *store = open_with("gone", options);
    waldo_stream *stream = NULL;
    waldo_chunk *chunk = NULL;
    OK(waldo_stream_new(store, WALDO_CURSOR_TRIM, 0, 0, &stream, &error));
    for (int i = 0; i < 9; i++)
        OK(append(store, 10));
    OK(waldo_trim(store, 4, &error));
    MEET(waldo_query(store, WALDO_CURSOR_FROM, 2, 0, 0, &chunk, &error), WALDO_TRIMMED);
    EQUAL(error.actual, 5);
    OK(waldo_stream_seek(stream, 2, &error));
    STATUS(waldo_stream_next(stream, -1, &chunk, &error), WALDO_TRIMMED);
    /* The same call goes on where there is something. */
    waldo_log log;
    for (uint64_t at = 5; at <= 9; at = log.seq_no + 1) {
        OK(waldo_stream_next(stream, -1, &chunk, &error));
        EQUAL(waldo_chunk_logs(chunk, 0, &log, 1), 1);
        EQUAL(log.seq_no, at);
        size_t count = waldo_chunk_count(chunk);
        EQUAL(waldo_chunk_logs(chunk, count - 1, &log, 1), 1);
        waldo_chunk_release(chunk);
    }
    OK(waldo_truncate(store, 6, &error));
    MEET(waldo_stream_next(stream, -1, &chunk, &error), WALDO_TRUNCATED);
    EQUAL(error.actual, 6);
    OK(append(store, 10));
    OK(waldo_stream_next(stream, -1, &chunk, &error));
    EQUAL(waldo_chunk_logs(chunk, 0, &log, 1), 1);
    EQUAL(log.seq_no, 7);
    waldo_chunk_release(chunk);
    MEET(waldo_stream_next(stream, SECOND / 100, &chunk, &error), WALDO_TIMEOUT);
    waldo_stream_release(stream);
    close_store(store);
    MEET(waldo_open("gone", NULL, NULL, &error), WALDO_INVALID_ARGUMENT);
    waldo_options_free(options);
}

/* What the queue and handles answer. */
static void wait_inside(void *context, const waldo_completion *done, size_t count)
{
    atomic_size_t *completed = context;
    waldo_error fault;
    (void)done;
    EQUAL(meet(waldo_sync(NULL, &fault)), WALDO_INVALID_ARGUMENT);
    size_t taken;
    EQUAL(meet(waldo_queue_wait(NULL, NULL, 0, 0, 0, &taken)), WALDO_INVALID_ARGUMENT);
    waldo *other = NULL;
    EQUAL(meet(waldo_open("inside", NULL, &other, &fault)), WALDO_WOULD_DEADLOCK);
    atomic_fetch_add(completed, count);
}

static void waiting(void)
{
    static atomic_size_t completed;
    waldo_options *options = in_memory("none", 0);
    waldo *store = open_with("waiting", options), *second = NULL;
    waldo_queue *queue = NULL, *called = NULL;
    waldo_stream *stream = NULL;
    waldo_chunk *chunk = NULL;
    MEET(waldo_open("waiting", options, &second, &error), WALDO_LOCKED);
    EQUAL(error.actual, getpid());
    OK(waldo_queue_new(1, &queue, &error));
    OK(waldo_stream_new(store, WALDO_CURSOR_TIP, 0, 0, &stream, &error));
    OK(waldo_stream_next_async(stream, queue, 1, &error));
    MEET(waldo_sync_async(store, queue, 2, &error), WALDO_AGAIN);
    MEET(waldo_stream_next(stream, 0, &chunk, &error), WALDO_BUSY);
    EQUAL(waldo_queue_cancel(queue, 1), WALDO_OK);
    EQUAL(meet(test_take(queue).status), WALDO_CANCELLED);
    /* Taken out: there is room again. */
    OK(waldo_sync_async(store, queue, 2, &error));
    EQUAL(test_take(queue).status, WALDO_OK);
    OK(waldo_queue_new_callback(1, wait_inside, &completed, &called, &error));
    OK(waldo_sync_async(store, called, 3, &error));
    test_await(&completed, 1);
    waldo_queue_release(called);
    waldo_queue_release(queue);
    waldo_stream_release(stream);
    OK(waldo_close(store, -1, &error));
    MEET(waldo_sync(store, &error), WALDO_CLOSED);
    STATUS(waldo_sync(store, &error), WALDO_CLOSED);
    /* Locked no more. */
    second = open_with("waiting", options);
    waldo_release(store);
    close_store(second);
    waldo_options_free(options);
}

static void forked(void)
{
    waldo_options *options = in_memory("none", 0);
    waldo *store = open_with("forked", options);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        STATUS(waldo_sync(store, &error), WALDO_FORKED);
        STATUS(waldo_sync(store, &error), WALDO_FORKED);
        test_end_child(-WALDO_FORKED);
    }
    int result = 0;
    CHECK(waitpid(child, &result, 0) == child);
    CHECK(WIFEXITED(result));
    EQUAL(meet(-WEXITSTATUS(result)), WALDO_FORKED);
    close_store(store);
    waldo_options_free(options);
}

/* The file of a page, closed by nobody: for damage. */
static int page_file(const char *store, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "%s/0000000000.page", store);
    int file = open(path, flags);
    CHECK(file >= 0);
    return file;
}

static void write_at(int file, const void *bytes, size_t size, off_t offset)
{
    CHECK(pwrite(file, bytes, size, offset) == (ssize_t)size);
}

/* CRC32C, bit by bit. */
static uint32_t checksum(const uint8_t *bytes, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

/* A store in a directory, with some logs. */
static void make_files(const char *path)
{
    waldo *store = test_open(path);
    for (int i = 0; i < 20; i++)
        OK(append(store, 1000));
    close_store(store);
}

static void files(void)
{
    enum { VERSION = 8, HEADER_CRC = 4092, FIRST_LOGS = 12000 };
    waldo *store = NULL;
    waldo_options *options = test_options();
    CHECK(mkdir("foreign", 0700) == 0);
    int file = open("foreign/letter", O_CREAT | O_WRONLY, 0600);
    CHECK(file >= 0 && close(file) == 0);
    MEET(waldo_open("foreign", options, &store, &error), WALDO_NOT_A_STORE);
    CHECK(strstr(error.message, "letter") != NULL);
    MEET(waldo_open("/proc/none/store", options, &store, &error), WALDO_IO);

    make_files("damaged");
    file = page_file("damaged", O_RDWR);
    uint8_t byte = 0;
    CHECK(pread(file, &byte, 1, FIRST_LOGS) == 1);
    byte = (uint8_t)~byte;
    write_at(file, &byte, 1, FIRST_LOGS);
    CHECK(close(file) == 0);
    MEET(waldo_open("damaged", options, &store, &error), WALDO_CORRUPTION);
    CHECK(store == NULL && error.actual < 20);
    /* Nothing was changed: the same again, until it is to be cut. */
    STATUS(waldo_open("damaged", options, &store, &error), WALDO_CORRUPTION);
    OK(waldo_options_set(options, "corruption", "truncate", &error));
    uint64_t before = error.actual, newest = 99;
    store = open_with("damaged", options);
    EQUAL(waldo_prev_seq_no(store, &newest), WALDO_OK);
    CHECK(newest >= before && newest < 20);
    close_store(store);
    waldo_options_free(options);

    options = test_options();
    make_files("newer");
    static uint8_t header[HEADER_CRC];
    file = page_file("newer", O_RDWR);
    CHECK(pread(file, header, sizeof header, 0) == sizeof header);
    header[VERSION] = 200;
    uint32_t crc = checksum(header, sizeof header);
    write_at(file, header, sizeof header, 0);
    write_at(file, &crc, sizeof crc, HEADER_CRC);
    CHECK(close(file) == 0);
    MEET(waldo_open("newer", options, &store, &error), WALDO_NEWER);
    EQUAL(error.actual, 200);
    waldo_options_free(options);
}

/* Where the system forbids io_uring, as containers do. */
static void unsupported(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog filter = {sizeof code / sizeof *code, code};
        waldo_options *options = test_options();
        waldo *store = NULL;
        CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0);
        uint64_t features = 0;
        EQUAL(waldo_probe(&features, &error), WALDO_OK);
        CHECK(!(features & WALDO_FEATURE_IO_URING));
        OK(waldo_options_set(options, "backend", "io_uring", &error));
        STATUS(waldo_open("unsupported", options, &store, &error), WALDO_UNSUPPORTED);
        EQUAL(error.os_errno, 1);
        /* The same store, as the message advises. */
        OK(waldo_options_set(options, "backend", "auto", &error));
        close_store(open_with("unsupported", options));
        waldo_options_free(options);
        test_end_child(-WALDO_UNSUPPORTED);
    }
    int result = 0;
    CHECK(waitpid(child, &result, 0) == child);
    CHECK(WIFEXITED(result));
    EQUAL(meet(-WEXITSTATUS(result)), WALDO_UNSUPPORTED);
}

int main(void)
{
    /* First, while there are no other threads: the child starts some of its own. */
    if (TEST_FORKS)
        unsupported();
    else
        meet(WALDO_UNSUPPORTED);
    poisoned("write", 5);
    poisoned("short_write", 0);
    poisoned("sync", 5);
    unreadable();
    no_space();
    full();
    refused();
    gone();
    waiting();
    forked();
    files();
    /* No call of a program can make the library panic; tests inside the library do. */
    meet(WALDO_PANIC);

#define LOOK(name, traits)                                                                      \
    CHECK(strcmp(waldo_status_name(WALDO_##name), "WALDO_" #name) == 0);                        \
    EQUAL(waldo_status_traits(WALDO_##name), traits);                                           \
    CHECK(met[-WALDO_##name]);                                                                  \
    met[-WALDO_##name] = 0;
    STATUSES(LOOK)
    /* And none that is not in the list. */
    for (int i = 0; i <= -LOWEST; i++) {
        CHECK(!met[i]);
        CHECK((strcmp(waldo_status_name(-i), "unknown") == 0) ==
              ((i > 11 && i < 20) || (i > 28 && i < 40) || (i > 44 && i < 60)));
    }
    EQUAL(waldo_status_traits(LOWEST - 1), 0);
    return 0;
}
