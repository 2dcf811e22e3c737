/* Completions that come exactly once, and handles that are released at any time. */
#include "test.h"

/* Every operation of a storm, by its user_data. */
enum { THREADS = 8, EACH = 400, OPERATIONS = THREADS * EACH };

struct storm {
    waldo *store;
    waldo_queue *queue;
    atomic_uchar accepted[OPERATIONS + 1], completed[OPERATIONS + 1];
    atomic_size_t accepted_count, completed_count, closed;
};

static void count_completions(void *context, const waldo_completion *done, size_t count)
{
    struct storm *storm = context;
    for (size_t i = 0; i < count; i++) {
        CHECK(done[i].user_data <= OPERATIONS);
        EQUAL(atomic_fetch_add(&storm->completed[done[i].user_data], 1), 0);
        waldo_chunk_release(done[i].chunk);
        if (done[i].kind == WALDO_KIND_CLOSE)
            atomic_fetch_add(&storm->closed, 1);
        else
            CHECK(done[i].status == WALDO_OK || done[i].status == WALDO_CLOSED ||
                  done[i].status == WALDO_CANCELLED || done[i].status == WALDO_NOT_FOUND ||
                  done[i].status == WALDO_TRUNCATED || done[i].status == WALDO_TRIMMED);
        atomic_fetch_add(&storm->completed_count, 1);
    }
}

struct worker {
    struct storm *storm;
    size_t first;
};

static void *submit(void *argument)
{
    const struct worker *own = argument;
    struct storm *storm = own->storm;
    for (size_t i = own->first; i < own->first + EACH; i++) {
        waldo_error fault;
        waldo_status status;
        waldo_log log = test_log(0, "storm");
        switch (i % 8) {
        case 0:
            status = waldo_sync_async(storm->store, storm->queue, i, &fault);
            break;
        case 1:
            status = waldo_query_async(storm->store, WALDO_CURSOR_TIP, 0, WALDO_QUERY_WAIT,
                                       storm->queue, i, &fault);
            break;
        case 2:
            status = waldo_truncate_async(storm->store, 1, storm->queue, i, &fault);
            break;
        case 3:
            status = waldo_query_async(storm->store, WALDO_CURSOR_TRIM, 0, 0, storm->queue, i,
                                       &fault);
            if (i % 16 == 3)
                waldo_queue_cancel(storm->queue, i);
            break;
        default:
            status = waldo_append_async(storm->store, &log, 1, WALDO_APPEND_ASSIGN, storm->queue,
                                        i, &fault);
        }
        CHECK(status == fault.status);
        CHECK(status == WALDO_OK || status == WALDO_AGAIN || status == WALDO_CLOSED);
        if (status == WALDO_OK) {
            atomic_store(&storm->accepted[i], 1);
            atomic_fetch_add(&storm->accepted_count, 1);
        }
        if (i == OPERATIONS / 2) {
            status = waldo_close_async(storm->store, storm->queue, OPERATIONS, &fault);
            CHECK(status == WALDO_OK || status == WALDO_AGAIN);
            atomic_store(&storm->accepted[OPERATIONS], status == WALDO_OK);
            atomic_fetch_add(&storm->accepted_count, status == WALDO_OK);
        }
    }
    return NULL;
}

/* Eight threads submit while the store closes. */
static void storm(int pollable)
{
    struct storm *storm = calloc(1, sizeof *storm);
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    CHECK(storm);
    storm->store = test_open(pollable ? "storm-polled" : "storm");
    test_append(storm->store, 1, "first");
    if (pollable)
        OK(waldo_queue_new(OPERATIONS + 1, &storm->queue, &error));
    else
        OK(waldo_queue_new_callback(OPERATIONS + 1, count_completions, storm, &storm->queue,
                                    &error));
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].storm = storm;
        workers[i].first = i * EACH;
        CHECK(pthread_create(&threads[i], NULL, submit, &workers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    /* Closed already, or still closing, or nobody's turn has come. */
    waldo_status closed = waldo_close(storm->store, -1, &error);
    CHECK(closed == WALDO_OK || closed == WALDO_CLOSED);
    if (pollable) {
        waldo_completion done[64];
        size_t count = 0;
        while (atomic_load(&storm->completed_count) < atomic_load(&storm->accepted_count)) {
            EQUAL(waldo_queue_wait(storm->queue, done, 64, 1, 10 * SECOND, &count), WALDO_OK);
            count_completions(storm, done, count);
        }
        EQUAL(waldo_queue_poll(storm->queue, done, 64), 0);
    }
    test_await(&storm->completed_count, atomic_load(&storm->accepted_count));
    test_sleep_ms(5);
    for (size_t i = 0; i <= OPERATIONS; i++)
        EQUAL(atomic_load(&storm->completed[i]), atomic_load(&storm->accepted[i]));
    waldo_queue_release(storm->queue);
    waldo_release(storm->store);
    free(storm);
}

/* Everything is released, and closed, inside a callback. */
struct inside {
    waldo *store;
    waldo_queue *queue, *polled;
    waldo_stream *stream;
    atomic_size_t done;
};

static void release_all(void *context, const waldo_completion *done, size_t count)
{
    struct inside *inside = context;
    waldo_error fault;
    waldo *other = NULL;
    waldo_chunk *chunk = NULL;
    waldo_completion more;
    uint64_t last = 9;
    size_t taken = 9;
    waldo_log log = test_log(2, "x");
    for (size_t i = 0; i < count; i++) {
        switch (done[i].kind) {
        case WALDO_KIND_APPEND:
            /* Whatever waits would wait for itself. */
            EQUAL(waldo_append(inside->store, &log, 1, 0, &last, &fault), WALDO_WOULD_DEADLOCK);
            EQUAL(last, 0);
            EQUAL(fault.status, WALDO_WOULD_DEADLOCK);
            EQUAL(waldo_append_packed(inside->store, NULL, 0, NULL, 0, 0, NULL, &fault),
                  WALDO_WOULD_DEADLOCK);
            EQUAL(waldo_sync(inside->store, &fault), WALDO_WOULD_DEADLOCK);
            EQUAL(waldo_trim(inside->store, 0, &fault), WALDO_WOULD_DEADLOCK);
            EQUAL(waldo_truncate(inside->store, 0, &fault), WALDO_WOULD_DEADLOCK);
            EQUAL(waldo_clear(inside->store, &fault), WALDO_WOULD_DEADLOCK);
            EQUAL(waldo_close(inside->store, 0, &fault), WALDO_WOULD_DEADLOCK);
            EQUAL(waldo_query(inside->store, 0, 0, 0, 0, &chunk, &fault), WALDO_WOULD_DEADLOCK);
            EQUAL(waldo_stream_next(inside->stream, 0, &chunk, &fault), WALDO_WOULD_DEADLOCK);
            EQUAL(waldo_open("other", NULL, &other, &fault), WALDO_WOULD_DEADLOCK);
            CHECK(other == NULL);
            EQUAL(waldo_queue_wait(inside->polled, &more, 1, 0, 0, &taken), WALDO_WOULD_DEADLOCK);
            EQUAL(taken, 0);
            break;
        case WALDO_KIND_CLOSE:
            EQUAL(done[i].status, WALDO_OK);
            waldo_stream_release(inside->stream);
            waldo_queue_release(inside->queue);
            break;
        default:
            CHECK(done[i].status == WALDO_OK || done[i].status == WALDO_CLOSED);
        }
        waldo_chunk_release(done[i].chunk);
        atomic_fetch_add(&inside->done, 1);
    }
}

static void inside(void)
{
    static struct inside inside;
    waldo *store = test_open("inside");
    inside.store = store;
    OK(waldo_stream_new(store, WALDO_CURSOR_TIP, 0, 0, &inside.stream, &error));
    OK(waldo_queue_new(1, &inside.polled, &error));
    OK(waldo_queue_new_callback(8, release_all, &inside, &inside.queue, &error));
    waldo_log log = test_log(1, "x");
    OK(waldo_append_async(store, &log, 1, 0, inside.queue, 1, &error));
    test_await(&inside.done, 1);
    OK(waldo_stream_next_async(inside.stream, inside.queue, 2, &error));
    test_sleep_ms(20);
    OK(waldo_close_async(store, inside.queue, 3, &error));
    test_await(&inside.done, 3);
    waldo_queue_release(inside.polled);
    waldo_release(store);
}

/* A callback that closes, and releases the store in its completion. */
static void close_from_callback(void *context, const waldo_completion *done, size_t count)
{
    struct inside *inside = context;
    waldo_error fault;
    for (size_t i = 0; i < count; i++) {
        EQUAL(done[i].status, WALDO_OK);
        if (done[i].kind == WALDO_KIND_SYNC) {
            CHECK(waldo_close_async(inside->store, inside->queue, 2, &fault) == WALDO_OK);
        } else {
            EQUAL(done[i].kind, WALDO_KIND_CLOSE);
            waldo_release(inside->store);
            waldo_queue_release(inside->queue);
        }
        atomic_fetch_add(&inside->done, 1);
    }
}

static void close_inside(void)
{
    static struct inside inside;
    inside.store = test_open("close-inside");
    OK(waldo_queue_new_callback(1, close_from_callback, &inside, &inside.queue, &error));
    OK(waldo_sync_async(inside.store, inside.queue, 1, &error));
    test_await(&inside.done, 2);
    /* It is really closed. */
    waldo *store = test_open("close-inside");
    waldo_release(store);
}

static void full(void)
{
    waldo *store = test_open("full");
    waldo_queue *queue = NULL;
    waldo_completion done[2];
    waldo_log log = test_log(0, "x");
    OK(waldo_queue_new(2, &queue, &error));
    OK(waldo_append_async(store, &log, 1, WALDO_APPEND_ASSIGN, queue, 1, &error));
    OK(waldo_query_async(store, WALDO_CURSOR_AFTER, 99, WALDO_QUERY_WAIT, queue, 2, &error));
    STATUS(waldo_append_async(store, &log, 1, WALDO_APPEND_ASSIGN, queue, 3, &error), WALDO_AGAIN);
    CHECK(waldo_status_traits(error.status) & WALDO_TRAIT_RETRY);
    test_sleep_ms(50);
    /* A completion that nobody took keeps its place. */
    STATUS(waldo_sync_async(store, queue, 3, &error), WALDO_AGAIN);
    STATUS(waldo_close_async(store, queue, 3, &error), WALDO_AGAIN);
    STATUS(waldo_open_async("full-2", NULL, queue, 3, &error), WALDO_AGAIN);
    EQUAL(waldo_queue_poll(queue, done, 2), 1);
    EQUAL(done[0].user_data, 1);
    OK(waldo_append_async(store, &log, 1, WALDO_APPEND_ASSIGN, queue, 4, &error));
    done[0] = test_take(queue);
    EQUAL(done[0].user_data, 4);
    EQUAL(done[0].last_seq_no, 2);
    /* Released with something under way: it is cancelled, and its memory is freed. */
    waldo_queue_release(queue);
    OK(waldo_close(store, -1, &error));
    waldo_release(store);
}

static void after_close(void)
{
    waldo *store = test_open("after-close");
    waldo_chunk *chunk = NULL, *none = NULL;
    waldo_stream *stream = NULL;
    uint64_t last = 0;
    test_append(store, 1, "kept");
    OK(waldo_stream_new(store, WALDO_CURSOR_TRIM, 0, 0, &stream, &error));
    OK(waldo_query(store, WALDO_CURSOR_TRIM, 0, 0, 0, &chunk, &error));
    waldo_chunk_retain(chunk);
    OK(waldo_close(store, 10 * SECOND, &error));

    waldo_log log = test_log(2, "x");
    STATUS(waldo_append(store, &log, 1, 0, &last, &error), WALDO_CLOSED);
    STATUS(waldo_sync(store, &error), WALDO_CLOSED);
    STATUS(waldo_trim(store, 1, &error), WALDO_CLOSED);
    STATUS(waldo_truncate(store, 1, &error), WALDO_CLOSED);
    STATUS(waldo_clear(store, &error), WALDO_CLOSED);
    STATUS(waldo_query(store, WALDO_CURSOR_TRIM, 0, 0, 0, &none, &error), WALDO_CLOSED);
    STATUS(waldo_close(store, -1, &error), WALDO_CLOSED);
    EQUAL(waldo_prev_seq_no(store, &last), WALDO_OK);
    EQUAL(last, 1);
    /* A stream goes on to the last log. */
    OK(waldo_stream_next(stream, -1, &none, &error));
    EQUAL(waldo_chunk_count(none), 1);
    waldo_chunk_release(none);
    STATUS(waldo_stream_next(stream, -1, &none, &error), WALDO_CLOSED);
    CHECK(none == NULL);

    waldo_retain(store);
    waldo_release(store);
    waldo_release(store);
    STATUS(waldo_stream_next(stream, -1, &none, &error), WALDO_CLOSED);
    waldo_stream_release(stream);
    waldo_chunk_release(chunk);
    EQUAL(waldo_chunk_logs(chunk, 0, &log, 1), 1);
    CHECK(log.len == 4 && memcmp(log.data, "kept", 4) == 0);
    waldo_chunk_release(chunk);

    /* Not closed at all: the release does, in the background. */
    store = test_open("after-close");
    test_append(store, 2, "more");
    waldo_release(store);
    waldo_options *options = test_options();
    waldo_status status;
    do
        status = waldo_open("after-close", options, &store, &error);
    while (status == WALDO_LOCKED);
    EQUAL(status, WALDO_OK);
    EQUAL(waldo_prev_seq_no(store, &last), WALDO_OK);
    EQUAL(last, 2);
    waldo_options_free(options);
    /* A close that is not waited for, and then is. */
    status = waldo_close(store, 0, &error);
    CHECK(status == WALDO_OK || status == WALDO_TIMEOUT);
    if (status == WALDO_TIMEOUT)
        OK(waldo_close(store, -1, &error));
    STATUS(waldo_close(store, -1, &error), WALDO_CLOSED);
    waldo_release(store);
}

static void forked(void)
{
    waldo *store = test_open("forked");
    waldo_queue *polled = NULL, *called = NULL;
    waldo_stream *stream = NULL;
    waldo_chunk *chunk = NULL, *none = NULL;
    waldo_options *options = test_options();
    struct inside inside;
    memset(&inside, 0, sizeof inside);
    OK(waldo_queue_new(8, &polled, &error));
    OK(waldo_queue_new_callback(8, close_from_callback, &inside, &called, &error));
    test_append(store, 1, "parent");
    OK(waldo_query(store, WALDO_CURSOR_TRIM, 0, 0, 0, &chunk, &error));
    OK(waldo_stream_new(store, WALDO_CURSOR_TIP, 0, 0, &stream, &error));
    /* With work under way. */
    OK(waldo_stream_next_async(stream, polled, 1, &error));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        waldo_log log = test_log(2, "child");
        waldo_completion done;
        waldo_metadata metadata;
        uint64_t last = 9;
        size_t count = 9;
        alarm(30);
        STATUS(waldo_append(store, &log, 1, 0, &last, &error), WALDO_FORKED);
        EQUAL(last, 0);
        STATUS(waldo_append_async(store, &log, 1, 0, polled, 1, &error), WALDO_FORKED);
        STATUS(waldo_sync(store, &error), WALDO_FORKED);
        STATUS(waldo_sync_async(store, called, 1, &error), WALDO_FORKED);
        STATUS(waldo_query(store, 0, 0, 0, 0, &none, &error), WALDO_FORKED);
        STATUS(waldo_stream_next(stream, -1, &none, &error), WALDO_FORKED);
        STATUS(waldo_stream_next_async(stream, polled, 2, &error), WALDO_FORKED);
        STATUS(waldo_close(store, -1, &error), WALDO_FORKED);
        STATUS(waldo_metadata_get(store, &metadata, sizeof metadata, &error), WALDO_FORKED);
        STATUS(waldo_options_set(options, "ring_size", "4", &error), WALDO_FORKED);
        EQUAL(waldo_prev_seq_no(store, &last), WALDO_FORKED);
        EQUAL(waldo_queue_fd(polled), -1);
        EQUAL(waldo_queue_poll(polled, &done, 1), 0);
        EQUAL(waldo_queue_wait(polled, &done, 1, 1, -1, &count), WALDO_FORKED);
        EQUAL(waldo_queue_cancel(polled, 1), WALDO_FORKED);
        /* What was read can still be read. */
        EQUAL(waldo_chunk_logs(chunk, 0, &log, 1), 1);
        waldo_chunk_release(chunk);
        waldo_stream_release(stream);
        waldo_queue_release(polled);
        waldo_queue_release(called);
        waldo_options_free(options);
        waldo_release(store);
        /* A store of its own works. */
        store = test_open("forked-child");
        test_append(store, 1, "child");
        OK(waldo_close(store, -1, &error));
        waldo_release(store);
        test_end_child(0);
    }
    int result = 0;
    CHECK(waitpid(child, &result, 0) == child);
    CHECK(WIFEXITED(result) && WEXITSTATUS(result) == 0);
    test_append(store, 2, "parent");
    waldo_completion done = test_take(polled);
    EQUAL(done.status, WALDO_OK);
    EQUAL(done.last_seq_no, 2);
    waldo_chunk_release(done.chunk);
    waldo_chunk_release(chunk);
    waldo_stream_release(stream);
    waldo_queue_release(polled);
    waldo_queue_release(called);
    waldo_options_free(options);
    OK(waldo_close(store, -1, &error));
    waldo_release(store);
}

/* A stream that is released while it waits, and many of them. */
static void streams(void)
{
    enum { STREAMS = 1000 };
    waldo *store = test_open("streams");
    waldo_queue *queue = NULL;
    static waldo_stream *streams[STREAMS];
    static waldo_completion done[STREAMS];
    size_t count = 0;
    OK(waldo_queue_new(STREAMS, &queue, &error));
    for (size_t i = 0; i < STREAMS; i++) {
        OK(waldo_stream_new(store, WALDO_CURSOR_TIP, 0, 0, &streams[i], &error));
        OK(waldo_stream_next_async(streams[i], queue, i, &error));
    }
    EQUAL(waldo_queue_poll(queue, done, STREAMS), 0);
    test_append(store, 1, "to all");
    EQUAL(waldo_queue_wait(queue, done, STREAMS, STREAMS, 30 * SECOND, &count), WALDO_OK);
    EQUAL(count, STREAMS);
    for (size_t i = 0; i < STREAMS; i++) {
        EQUAL(done[i].status, WALDO_OK);
        EQUAL(done[i].last_seq_no, 1);
        waldo_chunk_release(done[i].chunk);
        OK(waldo_stream_next_async(streams[done[i].user_data], queue, done[i].user_data, &error));
    }
    for (size_t i = 0; i < STREAMS; i++)
        waldo_stream_release(streams[i]);
    EQUAL(waldo_queue_wait(queue, done, STREAMS, STREAMS, 30 * SECOND, &count), WALDO_OK);
    for (size_t i = 0; i < STREAMS; i++)
        EQUAL(done[i].status, WALDO_CANCELLED);
    OK(waldo_close(store, -1, &error));
    waldo_release(store);
    waldo_queue_release(queue);
}

int main(void)
{
    storm(0);
    storm(1);
    inside();
    close_inside();
    full();
    after_close();
    if (TEST_FORKS)
        forked();
    streams();
    return 0;
}
