/* Appends, queries and streams: blocking, and through both kinds of queue. */
#include "test.h"

#include <poll.h>

static void check_chunk(const waldo_chunk *chunk, uint64_t first, size_t count)
{
    waldo_log logs[64];
    CHECK(chunk != NULL);
    EQUAL(waldo_chunk_count(chunk), count);
    EQUAL(waldo_chunk_logs(chunk, 0, logs, 64), count);
    for (size_t i = 0; i < count; i++) {
        char text[32];
        int len = snprintf(text, sizeof text, "log %" PRIu64, first + i);
        EQUAL(logs[i].seq_no, first + i);
        EQUAL(logs[i].prev_seq_no, first + i - 1);
        EQUAL(logs[i].len, len);
        CHECK(memcmp(logs[i].data, text, (size_t)len) == 0);
        waldo_log one;
        EQUAL(waldo_chunk_logs(chunk, i, &one, 1), 1);
        CHECK(one.data == logs[i].data);
    }
    size_t size = 0;
    const uint8_t *data = waldo_chunk_data(chunk, &size);
    CHECK(count == 0 || (data == logs[0].data && size >= logs[0].len));
    CHECK(count == 0 || data + size == logs[count - 1].data + logs[count - 1].len);
}

static void fill(waldo *store, uint64_t first, uint64_t last)
{
    for (uint64_t seq_no = first; seq_no <= last; seq_no++) {
        char text[32];
        snprintf(text, sizeof text, "log %" PRIu64, seq_no);
        test_append(store, seq_no, text);
    }
}

/* Queries until `last` is there; frames make the chunks, so that there may be several. */
static void read_all(waldo *store, uint64_t first, uint64_t last)
{
    waldo_stream *stream = NULL;
    OK(waldo_stream_new(store, WALDO_CURSOR_FROM, first, 0, &stream, &error));
    while (first <= last) {
        waldo_chunk *chunk = NULL;
        OK(waldo_stream_next(stream, 10 * SECOND, &chunk, &error));
        size_t count = waldo_chunk_count(chunk);
        CHECK(count > 0);
        check_chunk(chunk, first, count);
        first += count;
        EQUAL(waldo_stream_position(stream), first - 1);
        waldo_chunk_release(chunk);
    }
    waldo_stream_release(stream);
}

static void blocking(void)
{
    waldo *store = test_open("blocking");
    waldo_chunk *chunk = NULL;
    OK(waldo_query(store, WALDO_CURSOR_TRIM, 0, 0, 0, &chunk, &error));
    check_chunk(chunk, 1, 0);
    waldo_chunk_release(chunk);

    fill(store, 1, 20);
    read_all(store, 1, 20);
    OK(waldo_query(store, WALDO_CURSOR_AFTER, 19, 0, 0, &chunk, &error));
    check_chunk(chunk, 20, 1);
    waldo_chunk_release(chunk);
    STATUS(waldo_query(store, WALDO_CURSOR_TIP, 0, WALDO_QUERY_WAIT, SECOND / 50, &chunk, &error),
           WALDO_TIMEOUT);
    CHECK(chunk == NULL);

    waldo_log logs[2] = {test_log(21, "log 21"), test_log(22, "log 22")};
    uint64_t last = 0;
    OK(waldo_append(store, logs, 2, WALDO_APPEND_ATOMIC | WALDO_APPEND_DURABLE, &last, &error));
    EQUAL(last, 22);
    EQUAL(waldo_durable_seq_no(store, &last), WALDO_OK);
    EQUAL(last, 22);
    const uint64_t ends[3] = {6, 12, 18};
    OK(waldo_append_packed(store, (const uint8_t *)"log 23log 24log 25", 18, ends, 3, 0, &last,
                           &error));
    EQUAL(last, 25);
    OK(waldo_append(store, logs, 0, 0, &last, &error));
    EQUAL(last, 25);
    read_all(store, 1, 25);

    /* The log does not follow. */
    STATUS(waldo_append(store, logs, 1, 0, &last, &error), WALDO_SEQUENCE);
    EQUAL(last, 0);
    EQUAL(error.wanted, 25);
    EQUAL(error.actual, 20);

    OK(waldo_sync(store, &error));
    OK(waldo_truncate(store, 24, &error));
    OK(waldo_trim(store, 3, &error));
    read_all(store, 4, 24);
    STATUS(waldo_query(store, WALDO_CURSOR_FROM, 1, 0, 0, &chunk, &error), WALDO_TRIMMED);
    EQUAL(error.actual, 4);
    STATUS(waldo_truncate(store, 77, &error), WALDO_NOT_FOUND);

    waldo_metadata metadata;
    OK(waldo_metadata_get(store, &metadata, sizeof metadata, &error));
    EQUAL(metadata.after_seq_no, 3);
    EQUAL(metadata.prev_seq_no, 24);
    EQUAL(metadata.log_count, 21);
    EQUAL(metadata.disk_size, 3 * 512 * 1024);
    CHECK(metadata.batch_size_limit > 0 && metadata.log_size_limit > 0);
    OK(waldo_close(store, -1, &error));
    waldo_release(store);

    store = test_open("blocking");
    waldo_recovery recovery;
    OK(waldo_recovery_get(store, &recovery, sizeof recovery, &error));
    EQUAL(recovery.created, 0);
    EQUAL(recovery.prev_seq_no, 24);
    EQUAL(recovery.log_count, 21);
    OK(waldo_clear(store, &error));
    OK(waldo_metadata_get(store, &metadata, sizeof metadata, &error));
    EQUAL(metadata.log_count, 0);
    EQUAL(waldo_prev_seq_no(store, &last), WALDO_OK);
    EQUAL(last, 0);
    waldo_release(store);
}

/* More than a frame, in several parts. */
static void large(waldo_queue *queue, uint32_t flags)
{
    enum { COUNT = 300, SIZE = 1000 };
    waldo *store = test_open(flags & WALDO_APPEND_BORROW ? "large-borrowed" : "large");
    uint8_t *bytes = malloc(COUNT * SIZE);
    uint64_t *ends = malloc(COUNT * sizeof *ends);
    CHECK(bytes && ends);
    for (size_t i = 0; i < COUNT; i++) {
        memset(bytes + i * SIZE, (int)i, SIZE);
        ends[i] = (i + 1) * SIZE;
    }
    STATUS(waldo_append_packed_async(store, bytes, COUNT * SIZE, ends, COUNT,
                                     flags | WALDO_APPEND_ATOMIC, queue, 1, &error),
           WALDO_BATCH_TOO_LARGE);
    OK(waldo_append_packed_async(store, bytes, COUNT * SIZE, ends, COUNT, flags, queue, 2, &error));
    if (!(flags & WALDO_APPEND_BORROW))
        memset(bytes, 0xff, COUNT * SIZE);
    waldo_completion done = test_take(queue);
    EQUAL(done.user_data, 2);
    EQUAL(done.status, WALDO_OK);
    EQUAL(done.first_seq_no, 1);
    EQUAL(done.last_seq_no, COUNT);
    EQUAL(done.count, COUNT);
    free(bytes);
    free(ends);
    waldo_stream *stream = NULL;
    OK(waldo_stream_new(store, WALDO_CURSOR_TRIM, 0, 0, &stream, &error));
    for (uint64_t next = 1; next <= COUNT;) {
        waldo_chunk *chunk = NULL;
        OK(waldo_stream_next(stream, 10 * SECOND, &chunk, &error));
        size_t count = waldo_chunk_count(chunk);
        for (size_t i = 0; i < count; i++, next++) {
            waldo_log log;
            EQUAL(waldo_chunk_logs(chunk, i, &log, 1), 1);
            EQUAL(log.seq_no, next);
            EQUAL(log.len, SIZE);
            EQUAL(log.data[0], (uint8_t)(next - 1));
            EQUAL(log.data[SIZE - 1], (uint8_t)(next - 1));
        }
        waldo_chunk_release(chunk);
    }
    waldo_stream_release(stream);
    OK(waldo_close(store, -1, &error));
    waldo_release(store);
}

static void pollable(void)
{
    waldo_options *options = test_options();
    waldo_queue *queue = NULL;
    OK(waldo_queue_new(8, &queue, &error));
    int fd = waldo_queue_fd(queue);
    CHECK(fd >= 0);
    struct pollfd ready = {fd, POLLIN, 0};
    EQUAL(poll(&ready, 1, 0), 0);

    OK(waldo_open_async("pollable", options, queue, 1, &error));
    waldo_options_free(options);
    EQUAL(poll(&ready, 1, 10000), 1);
    waldo_completion done;
    EQUAL(waldo_queue_poll(queue, &done, 1), 1);
    EQUAL(done.kind, WALDO_KIND_OPEN);
    EQUAL(done.status, WALDO_OK);
    waldo *store = done.store;
    CHECK(store != NULL && done.chunk == NULL);
    EQUAL(waldo_queue_poll(queue, &done, 1), 0);
    EQUAL(poll(&ready, 1, 0), 0);

    waldo_stream *stream = NULL;
    OK(waldo_stream_new(store, WALDO_CURSOR_TRIM, 0, 0, &stream, &error));
    OK(waldo_stream_next_async(stream, queue, 2, &error));
    STATUS(waldo_stream_next_async(stream, queue, 3, &error), WALDO_BUSY);
    waldo_chunk *chunk = NULL;
    STATUS(waldo_stream_next(stream, 0, &chunk, &error), WALDO_BUSY);
    EQUAL(waldo_queue_poll(queue, &done, 1), 0);
    waldo_log log = test_log(1, "log 1");
    OK(waldo_append_async(store, &log, 1, WALDO_APPEND_DURABLE, queue, 4, &error));
    int seen = 0;
    while (seen != 3) {
        EQUAL(poll(&ready, 1, 10000), 1);
        while (waldo_queue_poll(queue, &done, 1) == 1) {
            EQUAL(done.status, WALDO_OK);
            EQUAL(done.first_seq_no, 1);
            EQUAL(done.last_seq_no, 1);
            if (done.user_data == 2) {
                seen |= 1;
                check_chunk(done.chunk, 1, 1);
                waldo_chunk_release(done.chunk);
            } else {
                EQUAL(done.user_data, 4);
                EQUAL(done.count, 1);
                seen |= 2;
            }
        }
    }
    EQUAL(poll(&ready, 1, 0), 0);

    /* Queries, with and without waiting; cancelled ones. */
    OK(waldo_query_async(store, WALDO_CURSOR_TRIM, 0, 0, queue, 5, &error));
    done = test_take(queue);
    EQUAL(done.user_data, 5);
    check_chunk(done.chunk, 1, 1);
    waldo_chunk_release(done.chunk);
    OK(waldo_query_async(store, WALDO_CURSOR_TIP, 0, 0, queue, 6, &error));
    done = test_take(queue);
    EQUAL(done.status, WALDO_OK);
    check_chunk(done.chunk, 1, 0);
    waldo_chunk_release(done.chunk);
    OK(waldo_query_async(store, WALDO_CURSOR_TIP, 0, WALDO_QUERY_WAIT, queue, 7, &error));
    EQUAL(waldo_queue_cancel(queue, 8), WALDO_NOT_FOUND);
    EQUAL(waldo_queue_cancel(queue, 7), WALDO_OK);
    EQUAL(waldo_queue_cancel(queue, 7), WALDO_NOT_FOUND);
    done = test_take(queue);
    EQUAL(done.user_data, 7);
    EQUAL(done.status, WALDO_CANCELLED);
    /* A cancelled stream goes on. */
    OK(waldo_stream_next_async(stream, queue, 9, &error));
    EQUAL(waldo_queue_cancel(queue, 9), WALDO_OK);
    EQUAL(test_take(queue).status, WALDO_CANCELLED);
    OK(waldo_stream_next_async(stream, queue, 10, &error));
    test_append(store, 2, "log 2");
    done = test_take(queue);
    EQUAL(done.user_data, 10);
    check_chunk(done.chunk, 2, 1);
    waldo_chunk_release(done.chunk);

    /* What is appended behind a query at the tip ends it, whenever somebody looks. */
    OK(waldo_query_async(store, WALDO_CURSOR_TIP, 0, WALDO_QUERY_WAIT, queue, 17, &error));
    test_append(store, 3, "log 3");
    done = test_take(queue);
    EQUAL(done.user_data, 17);
    check_chunk(done.chunk, 3, 1);
    waldo_chunk_release(done.chunk);

    OK(waldo_sync_async(store, queue, 11, &error));
    EQUAL(test_take(queue).kind, WALDO_KIND_SYNC);
    OK(waldo_trim_async(store, 1, queue, 12, &error));
    EQUAL(test_take(queue).kind, WALDO_KIND_TRIM);
    OK(waldo_truncate_async(store, 77, queue, 13, &error));
    done = test_take(queue);
    EQUAL(done.kind, WALDO_KIND_TRUNCATE);
    EQUAL(done.status, WALDO_NOT_FOUND);
    EQUAL(done.wanted, 77);
    OK(waldo_clear_async(store, queue, 14, &error));
    EQUAL(test_take(queue).status, WALDO_OK);

    /* The close comes behind what waits. */
    OK(waldo_stream_next_async(stream, queue, 15, &error));
    OK(waldo_close_async(store, queue, 16, &error));
    int closed = 0, ended = 0;
    for (int round = 0; !closed || !ended; round++) {
        done = test_take(queue);
        CHECK(round > 0 || done.user_data == 15);
        if (done.user_data == 16) {
            EQUAL(done.status, WALDO_OK);
            closed = 1;
        } else if (done.status == WALDO_CLOSED) {
            ended = 1;
        } else {
            /* The stream goes on, to the last log; that need not be before the close. */
            CHECK(done.status == WALDO_TRUNCATED || done.status == WALDO_OK);
            waldo_chunk_release(done.chunk);
            OK(waldo_stream_next_async(stream, queue, 15, &error));
        }
    }
    STATUS(waldo_close_async(store, queue, 17, &error), WALDO_CLOSED);
    STATUS(waldo_close(store, -1, &error), WALDO_CLOSED);
    waldo_stream_release(stream);
    waldo_release(store);
    large(queue, 0);
    large(queue, WALDO_APPEND_BORROW);
    waldo_queue_release(queue);
}

struct seen {
    atomic_size_t appends, logs, closed;
    pthread_t main;
    waldo_queue *queue;
    waldo_stream *stream;
};

static void on_completions(void *context, const waldo_completion *done, size_t count)
{
    struct seen *seen = context;
    CHECK(!pthread_equal(pthread_self(), seen->main));
    for (size_t i = 0; i < count; i++) {
        if (done[i].kind == WALDO_KIND_APPEND) {
            EQUAL(done[i].status, WALDO_OK);
            atomic_fetch_add(&seen->appends, 1);
        } else if (done[i].kind == WALDO_KIND_CLOSE) {
            EQUAL(done[i].status, WALDO_OK);
            atomic_fetch_add(&seen->closed, 1);
        } else if (done[i].status == WALDO_OK) {
            waldo_error fault;
            atomic_fetch_add(&seen->logs, waldo_chunk_count(done[i].chunk));
            waldo_chunk_release(done[i].chunk);
            waldo_status status = waldo_stream_next_async(seen->stream, seen->queue, 0, &fault);
            CHECK(status == WALDO_OK);
        } else {
            EQUAL(done[i].status, WALDO_CLOSED);
            EQUAL(atomic_load(&seen->closed), 0);
        }
    }
}

static void callbacks(void)
{
    static struct seen seen;
    waldo *store = test_open("callbacks");
    waldo_queue *queue = NULL;
    seen.main = pthread_self();
    OK(waldo_queue_new_callback(256, on_completions, &seen, &queue, &error));
    EQUAL(waldo_queue_fd(queue), -1);
    waldo_completion done;
    size_t count = 7;
    EQUAL(waldo_queue_poll(queue, &done, 1), 0);
    EQUAL(waldo_queue_wait(queue, &done, 1, 0, 0, &count), WALDO_INVALID_ARGUMENT);
    EQUAL(count, 0);
    seen.queue = queue;
    OK(waldo_stream_new(store, WALDO_CURSOR_TRIM, 0, 0, &seen.stream, &error));
    OK(waldo_stream_next_async(seen.stream, queue, 0, &error));
    for (size_t i = 0; i < 1000; i++) {
        waldo_log log = test_log(0, "payload");
        /* One place is left to the stream. */
        while (i - atomic_load(&seen.appends) >= 255)
            test_sleep_ms(1);
        OK(waldo_append_async(store, &log, 1, WALDO_APPEND_ASSIGN, queue, i, &error));
    }
    test_await(&seen.appends, 1000);
    test_await(&seen.logs, 1000);
    waldo_status status;
    while ((status = waldo_close_async(store, queue, 0, &error)) == WALDO_AGAIN)
        test_sleep_ms(1);
    EQUAL(status, WALDO_OK);
    test_await(&seen.closed, 1);
    waldo_stream_release(seen.stream);
    waldo_queue_release(queue);
    waldo_release(store);
}

static uint64_t disk_size(const waldo *store)
{
    waldo_metadata metadata;
    EQUAL(waldo_metadata_get(store, &metadata, sizeof metadata, &error), WALDO_OK);
    return metadata.disk_size;
}

/* Without sizes, and with 0 for them, a store is opened as it was made. */
static void as_made(void)
{
    const char *backend = getenv("WALDO_TEST_BACKEND");
    waldo_options *options = NULL;
    waldo *store = test_open("as_made");
    uint64_t size = disk_size(store);
    EQUAL(size, 3 * 512 * 1024);
    OK(waldo_close(store, 10 * SECOND, &error));
    waldo_release(store);

    EQUAL(waldo_options_new(&options), WALDO_OK);
    OK(waldo_options_set(options, "backend", backend ? backend : "auto", &error));
    OK(waldo_open("as_made", options, &store, &error));
    EQUAL(disk_size(store), size);
    OK(waldo_close(store, 10 * SECOND, &error));
    waldo_release(store);

    OK(waldo_options_set_u64(options, "ring_size", 4, &error));
    OK(waldo_options_set(options, "file_capacity", "0", &error));
    OK(waldo_open("as_made", options, &store, &error));
    EQUAL(disk_size(store), 4 * 512 * 1024);
    OK(waldo_close(store, 10 * SECOND, &error));
    waldo_release(store);
    waldo_options_free(options);
}

int main(void)
{
    blocking();
    as_made();
    pollable();
    callbacks();
    return 0;
}
