/*
 * 1,000 streams tail one log in a single thread: an epoll loop over a pollable queue, beside
 * whatever else the program waits for.
 *
 *     cc epoll_streams.c $(pkg-config --cflags --libs waldo) -o epoll_streams
 *     ./epoll_streams /tmp/streams
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <waldo.h>

enum { STREAMS = 1000, LOGS = 100, BATCH = 256 };

struct reader {
    waldo_stream *stream;
    uint64_t logs, bytes;
};

static struct reader readers[STREAMS];
static waldo *store;
static waldo_queue *queue;
static waldo_error error;
static uint64_t appended, acknowledged;

static void check(waldo_status status, const char *what)
{
    if (status != WALDO_OK) {
        fprintf(stderr, "%s: %s (%s)\n", what, error.message, waldo_status_name(status));
        exit(1);
    }
}

static void read_chunk(struct reader *reader, waldo_chunk *chunk)
{
    waldo_log logs[64];
    size_t first = 0, count;
    while ((count = waldo_chunk_logs(chunk, first, logs, 64)) > 0) {
        for (size_t i = 0; i < count; i++)
            reader->bytes += logs[i].len;
        reader->logs += count;
        first += count;
    }
    waldo_chunk_release(chunk);
}

/* Takes all completions out; answers how many streams have read everything. */
static size_t take_completions(void)
{
    static size_t finished;
    waldo_completion done[BATCH];
    size_t count;
    while ((count = waldo_queue_poll(queue, done, BATCH)) > 0) {
        for (size_t i = 0; i < count; i++) {
            if (done[i].status != WALDO_OK) {
                fprintf(stderr, "%s\n", waldo_status_name(done[i].status));
                exit(1);
            }
            if (done[i].kind == WALDO_KIND_APPEND) {
                acknowledged++;
                continue;
            }
            struct reader *reader = &readers[done[i].user_data];
            read_chunk(reader, done[i].chunk);
            if (reader->logs >= LOGS)
                finished++;
            else
                check(waldo_stream_next_async(reader->stream, queue, done[i].user_data, &error),
                      "next");
        }
    }
    return finished;
}

static void append(void)
{
    char text[64];
    int len = snprintf(text, sizeof text, "event %" PRIu64, appended + 1);
    waldo_log log = {.data = (const uint8_t *)text, .len = (uint64_t)len};
    waldo_status status =
        waldo_append_async(store, &log, 1, WALDO_APPEND_ASSIGN, queue, UINT64_MAX, &error);
    if (status == WALDO_AGAIN)
        return; /* at the next tick */
    check(status, "append");
    appended++;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s directory\n", argv[0]);
        return 2;
    }
    check(waldo_open(argv[1], NULL, &store, &error), "open");
    check(waldo_queue_new(STREAMS + LOGS, &queue, &error), "queue");
    for (uint64_t i = 0; i < STREAMS; i++) {
        check(waldo_stream_new(store, WALDO_CURSOR_TIP, 0, 0, &readers[i].stream, &error),
              "stream");
        check(waldo_stream_next_async(readers[i].stream, queue, i, &error), "next");
    }

    /* A log each millisecond. */
    const struct itimerspec tick = {.it_interval = {0, 1000000}, .it_value = {0, 1000000}};
    int epoll = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (epoll < 0 || timer < 0 || timerfd_settime(timer, 0, &tick, NULL) != 0) {
        perror("epoll or timer");
        return 1;
    }
    watch(epoll, timer);
    watch(epoll, waldo_queue_fd(queue));

    for (size_t finished = 0; finished < STREAMS || acknowledged < LOGS;) {
        struct epoll_event events[2];
        int count = epoll_wait(epoll, events, 2, -1);
        for (int i = 0; i < count; i++) {
            uint64_t ticks;
            if (events[i].data.fd != timer)
                finished = take_completions();
            else if (read(timer, &ticks, sizeof ticks) == sizeof ticks && appended < LOGS)
                append();
        }
    }

    uint64_t logs = 0, bytes = 0;
    for (size_t i = 0; i < STREAMS; i++) {
        logs += readers[i].logs;
        bytes += readers[i].bytes;
        waldo_stream_release(readers[i].stream);
    }
    close(timer);
    close(epoll);
    check(waldo_close(store, -1, &error), "close");
    waldo_queue_release(queue);
    waldo_release(store);
    printf("%d streams read %" PRIu64 " logs, %" PRIu64 " bytes\n", (int)STREAMS, logs, bytes);
    return 0;
}
