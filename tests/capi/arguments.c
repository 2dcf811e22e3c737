/* NULL and nonsense for every argument: refused, with outputs written. */
#include "test.h"

#define GARBAGE ((void *)(uintptr_t)0x10)

static void none(void *context, const waldo_completion *completions, size_t count)
{
    (void)context, (void)completions, (void)count;
}

static void options(void)
{
    waldo_options *options = NULL;
    char text[64];
    size_t count = 0;
    EQUAL(waldo_options_new(NULL), WALDO_INVALID_ARGUMENT);
    EQUAL(waldo_options_new(&options), WALDO_OK);
    for (; waldo_options_key(count) != NULL; count++) {
        /* Every key takes back what it gives. */
        OK(waldo_options_get(options, waldo_options_key(count), text, sizeof text, &error));
        OK(waldo_options_set(options, waldo_options_key(count), text, &error));
        STATUS(waldo_options_set(options, waldo_options_key(count), "nonsense", &error),
               WALDO_OPTION);
        CHECK(strstr(error.message, waldo_options_key(count)) != NULL);
    }
    EQUAL(count, 24);
    CHECK(waldo_options_key(SIZE_MAX) == NULL);
    STATUS(waldo_options_set(options, "sizes", "1", &error), WALDO_OPTION);
    CHECK(strstr(error.message, "sizes") != NULL);
    STATUS(waldo_options_set(options, "ring_size", "99999999999", &error), WALDO_OPTION);
    STATUS(waldo_options_set(options, "ring_size", "-1", &error), WALDO_OPTION);
    STATUS(waldo_options_set_u64(options, "pool_size", 65536, &error), WALDO_OPTION);
    STATUS(waldo_options_set_u64(options, "backend", 1, &error), WALDO_OPTION);
    STATUS(waldo_options_set(NULL, "ring_size", "4", &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_options_set(options, NULL, "4", &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_options_set(options, "ring_size", NULL, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_options_set_u64(NULL, "ring_size", 4, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_options_get(NULL, "ring_size", text, sizeof text, &error),
           WALDO_INVALID_ARGUMENT);
    EQUAL(text[0], 0);
    STATUS(waldo_options_get(options, NULL, text, sizeof text, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_options_get(options, "backend", NULL, 9, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_options_get(options, "backend", text, 4, &error), WALDO_INVALID_ARGUMENT);
    EQUAL(error.wanted, 5);
    STATUS(waldo_options_get(options, "backend", NULL, 0, &error), WALDO_INVALID_ARGUMENT);
    OK(waldo_options_get(options, "backend", text, 5, &error));
    CHECK(strcmp(text, "auto") == 0);
    OK(waldo_options_set_u64(options, "flush_interval_ns", 5000, &error));
    OK(waldo_options_get(options, "flush_interval_ns", text, sizeof text, &error));
    CHECK(strcmp(text, "5000") == 0);

    /* A value that only opening finds out about. */
    waldo *store = GARBAGE;
    OK(waldo_options_set_u64(options, "ring_size", 1, &error));
    STATUS(waldo_open("refused", options, &store, &error), WALDO_OPTION);
    CHECK(store == NULL);
    CHECK(strstr(error.message, "ring_size") != NULL);
    waldo_options_free(options);
    waldo_options_free(NULL);
}

static void queues(void)
{
    waldo_queue *queue = GARBAGE;
    waldo_completion done;
    size_t count = 9;
    STATUS(waldo_queue_new(1, NULL, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_queue_new(0, &queue, &error), WALDO_INVALID_ARGUMENT);
    CHECK(queue == NULL);
    STATUS(waldo_queue_new(UINT32_MAX, &queue, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_queue_new_callback(1, NULL, NULL, &queue, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_queue_new_callback(1, none, NULL, NULL, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_queue_new_callback(0, none, NULL, &queue, &error), WALDO_INVALID_ARGUMENT);
    EQUAL(waldo_queue_fd(NULL), -1);
    EQUAL(waldo_queue_poll(NULL, &done, 1), 0);
    EQUAL(waldo_queue_wait(NULL, &done, 1, 1, 0, &count), WALDO_INVALID_ARGUMENT);
    EQUAL(count, 0);
    EQUAL(waldo_queue_cancel(NULL, 0), WALDO_INVALID_ARGUMENT);
    waldo_queue_release(NULL);
    EQUAL(waldo_queue_new(1, &queue, NULL), WALDO_OK);
    EQUAL(waldo_queue_poll(queue, NULL, 1), 0);
    EQUAL(waldo_queue_poll(queue, &done, 0), 0);
    EQUAL(waldo_queue_wait(queue, &done, 1, 2, 0, &count), WALDO_INVALID_ARGUMENT);
    EQUAL(waldo_queue_wait(queue, NULL, 1, 0, 0, &count), WALDO_INVALID_ARGUMENT);
    EQUAL(waldo_queue_wait(queue, &done, 1, 1, 0, NULL), WALDO_INVALID_ARGUMENT);
    EQUAL(waldo_queue_wait(queue, &done, 1, 1, 0, &count), WALDO_TIMEOUT);
    EQUAL(waldo_queue_wait(queue, &done, 1, 1, SECOND / 100, &count), WALDO_TIMEOUT);
    EQUAL(waldo_queue_wait(queue, NULL, 0, 0, 0, &count), WALDO_OK);
    waldo_queue_release(queue);
}

static void stores(void)
{
    waldo *store = GARBAGE;
    waldo_queue *queue = NULL;
    uint64_t last = 9;
    waldo_chunk *chunk = GARBAGE;
    waldo_stream *stream = GARBAGE;
    waldo_log log = test_log(1, "x");
    waldo_metadata metadata;
    waldo_recovery recovery;
    OK(waldo_queue_new(4, &queue, &error));
    STATUS(waldo_open(NULL, NULL, &store, &error), WALDO_INVALID_ARGUMENT);
    CHECK(store == NULL);
    STATUS(waldo_open("", NULL, &store, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_open("x", NULL, NULL, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_open("/proc/none/store", NULL, &store, &error), WALDO_IO);
    CHECK(error.os_errno != 0);
    STATUS(waldo_open_async(NULL, NULL, queue, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_open_async("x", NULL, NULL, 0, &error), WALDO_INVALID_ARGUMENT);

    /* Without a store. */
    STATUS(waldo_close(NULL, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_close_async(NULL, queue, 0, &error), WALDO_INVALID_ARGUMENT);
    waldo_retain(NULL);
    waldo_release(NULL);
    STATUS(waldo_append(NULL, &log, 1, 0, &last, &error), WALDO_INVALID_ARGUMENT);
    EQUAL(last, 0);
    STATUS(waldo_append_async(NULL, &log, 1, 0, queue, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_append_packed(NULL, NULL, 0, NULL, 0, 0, NULL, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_append_packed_async(NULL, NULL, 0, NULL, 0, 0, queue, 0, &error),
           WALDO_INVALID_ARGUMENT);
    STATUS(waldo_sync(NULL, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_sync_async(NULL, queue, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_trim(NULL, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_trim_async(NULL, 0, queue, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_truncate(NULL, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_truncate_async(NULL, 0, queue, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_clear(NULL, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_clear_async(NULL, queue, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_query(NULL, 0, 0, 0, 0, &chunk, &error), WALDO_INVALID_ARGUMENT);
    CHECK(chunk == NULL);
    STATUS(waldo_query_async(NULL, 0, 0, 0, queue, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_stream_new(NULL, 0, 0, 0, &stream, &error), WALDO_INVALID_ARGUMENT);
    CHECK(stream == NULL);
    STATUS(waldo_stream_next(NULL, 0, &chunk, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_stream_next_async(NULL, queue, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_stream_seek(NULL, 0, &error), WALDO_INVALID_ARGUMENT);
    EQUAL(waldo_stream_position(NULL), 0);
    waldo_stream_release(NULL);
    last = 9;
    EQUAL(waldo_prev_seq_no(NULL, &last), WALDO_INVALID_ARGUMENT);
    EQUAL(last, 0);
    EQUAL(waldo_durable_seq_no(NULL, &last), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_metadata_get(NULL, &metadata, sizeof metadata, &error), WALDO_INVALID_ARGUMENT);
    EQUAL(metadata.disk_size, 0);
    STATUS(waldo_recovery_get(NULL, &recovery, sizeof recovery, &error), WALDO_INVALID_ARGUMENT);

    /* With a store, and nonsense besides. */
    store = test_open("arguments");
    STATUS(waldo_append(store, NULL, 1, 0, &last, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_append(store, &log, 1, 16, &last, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_append(store, &log, SIZE_MAX, 0, &last, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_append(store, (waldo_log *)GARBAGE, SIZE_MAX / 2, 0, &last, &error),
           WALDO_INVALID_ARGUMENT);
    STATUS(waldo_append_async(store, &log, 1, 0, NULL, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_append_async(store, NULL, 1, 0, queue, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_append_async(store, &log, 1, UINT32_MAX, queue, 0, &error),
           WALDO_INVALID_ARGUMENT);
    log.data = NULL;
    STATUS(waldo_append(store, &log, 1, 0, &last, &error), WALDO_INVALID_ARGUMENT);
    log.data = (const uint8_t *)"x";
    log.len = UINT64_MAX;
    STATUS(waldo_append(store, &log, 1, 0, &last, &error), WALDO_INVALID_ARGUMENT);
    log.len = 1;
    log.prev_seq_no = 1;
    STATUS(waldo_append(store, &log, 1, 0, &last, &error), WALDO_ORDER);
    STATUS(waldo_append_async(store, &log, 1, 0, queue, 0, &error), WALDO_ORDER);
    static uint8_t large[1 << 20];
    /* Wrong in the second frame: refused before the first is appended. */
    waldo_log many[3] = {test_log(1, ""), test_log(2, ""), test_log(3, "")};
    for (int i = 0; i < 3; i++) {
        many[i].data = large;
        many[i].len = 40000;
    }
    many[2].prev_seq_no = 1;
    STATUS(waldo_append_async(store, many, 3, 0, queue, 0, &error), WALDO_SEQUENCE);
    many[2].prev_seq_no = 3;
    STATUS(waldo_append_async(store, many, 3, 0, queue, 0, &error), WALDO_ORDER);
    many[2].len = sizeof large;
    STATUS(waldo_append_async(store, many, 3, WALDO_APPEND_ASSIGN, queue, 0, &error),
           WALDO_EXCEEDS_LIMIT);
    log.prev_seq_no = 0;
    log.data = large;
    log.len = sizeof large;
    STATUS(waldo_append(store, &log, 1, 0, &last, &error), WALDO_EXCEEDS_LIMIT);
    CHECK(error.actual > error.wanted && error.wanted > 0);
    const uint64_t backwards[2] = {2, 1}, beyond[1] = {3};
    STATUS(waldo_append_packed(store, large, 2, backwards, 2, 0, NULL, &error),
           WALDO_INVALID_ARGUMENT);
    STATUS(waldo_append_packed(store, large, 2, beyond, 1, 0, NULL, &error),
           WALDO_INVALID_ARGUMENT);
    STATUS(waldo_append_packed(store, NULL, 2, beyond, 1, 0, NULL, &error),
           WALDO_INVALID_ARGUMENT);
    STATUS(waldo_append_packed(store, large, 3, NULL, 1, 0, NULL, &error),
           WALDO_INVALID_ARGUMENT);
    STATUS(waldo_append_packed_async(store, large, 2, beyond, 1, 0, queue, 0, &error),
           WALDO_INVALID_ARGUMENT);
    STATUS(waldo_query(store, 4, 0, 0, 0, &chunk, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_query(store, 0, 0, 2, 0, &chunk, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_query(store, 0, 0, 0, 0, NULL, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_query_async(store, 4, 0, 0, queue, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_query_async(store, 0, 0, 0, NULL, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_stream_new(store, 4, 0, 0, &stream, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_stream_new(store, 0, 0, 1, &stream, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_stream_new(store, 0, 0, 0, NULL, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_sync_async(store, NULL, 0, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_metadata_get(store, NULL, sizeof metadata, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_metadata_get(store, &metadata, 8, &error), WALDO_INVALID_ARGUMENT);
    STATUS(waldo_metadata_get(store, &metadata, SIZE_MAX, &error), WALDO_INVALID_ARGUMENT);
    EQUAL(waldo_prev_seq_no(store, NULL), WALDO_INVALID_ARGUMENT);
    /* A struct of a later version: what this one does not know is 0. */
    struct {
        waldo_metadata known;
        uint64_t later[4];
    } grown;
    memset(&grown, 0x77, sizeof grown);
    OK(waldo_metadata_get(store, &grown.known, sizeof grown, &error));
    CHECK(grown.later[0] == 0 && grown.later[3] == 0 && grown.known.disk_size > 0);

    /* Nothing of all that was submitted, and every place is free. */
    waldo_completion done[4];
    EQUAL(waldo_queue_poll(queue, done, 4), 0);
    for (uint64_t i = 0; i < 4; i++)
        OK(waldo_sync_async(store, queue, i, &error));
    STATUS(waldo_sync_async(store, queue, 9, &error), WALDO_AGAIN);
    size_t count = 0;
    EQUAL(waldo_queue_wait(queue, done, 4, 4, 10 * SECOND, &count), WALDO_OK);
    EQUAL(count, 4);
    EQUAL(waldo_prev_seq_no(store, &last), WALDO_OK);
    EQUAL(last, 0);
    /* Errors need no storage. */
    EQUAL(waldo_sync(store, NULL), WALDO_OK);
    EQUAL(waldo_sync(NULL, NULL), WALDO_INVALID_ARGUMENT);
    OK(waldo_close(store, -1, &error));
    waldo_release(store);
    waldo_queue_release(queue);
}

static void others(void)
{
    uint64_t features = 9;
    size_t size = 9;
    waldo_log log;
    EQUAL(waldo_version_number(), 1000);
    CHECK(strcmp(waldo_version_string(), "0.1.0") == 0);
    EQUAL(waldo_abi_version(), 0);
    EQUAL(waldo_probe(NULL, &error), WALDO_INVALID_ARGUMENT);
    EQUAL(waldo_probe(&features, &error), WALDO_OK);
    EQUAL(error.status, WALDO_OK);
    CHECK(features < 16);
    CHECK((features == 15) == (error.message[0] == 0));
    CHECK(strcmp(waldo_status_name(WALDO_AGAIN), "WALDO_AGAIN") == 0);
    CHECK(strcmp(waldo_status_name(INT32_MIN), "unknown") == 0);
    EQUAL(waldo_status_traits(WALDO_AGAIN), WALDO_TRAIT_RETRY);
    EQUAL(waldo_status_traits(99), 0);
    EQUAL(waldo_chunk_count(NULL), 0);
    EQUAL(waldo_chunk_logs(NULL, 0, &log, 1), 0);
    CHECK(waldo_chunk_data(NULL, &size) == NULL);
    EQUAL(size, 0);
    CHECK(waldo_chunk_data(NULL, NULL) == NULL);
    waldo_chunk_retain(NULL);
    waldo_chunk_release(NULL);
}

int main(void)
{
    options();
    queues();
    stores();
    others();
    return 0;
}
