/* Chunks: taken in pieces of every size, from any place, and shared by streams. */
#include "test.h"

enum { LOGS = 40, STREAMS = 8 };

static char payloads[LOGS][LOGS + 1];

/* Two appends of logs of which some are as long as the one before and some are not. */
static void fill(waldo *store)
{
    waldo_log logs[LOGS];
    for (size_t i = 0; i < LOGS; i++) {
        size_t len = i % 7 < 3 ? 9 : i;
        memset(payloads[i], 'a' + (int)(i % 26), len);
        logs[i] = test_log(i + 1, payloads[i]);
    }
    OK(waldo_append(store, logs, LOGS / 2, 0, NULL, &error));
    OK(waldo_append(store, logs + LOGS / 2, LOGS / 2, 0, NULL, &error));
}

static void check_logs(const waldo_log *logs, size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *payload = payloads[first + i];
        EQUAL(logs[i].seq_no, first + i + 1);
        EQUAL(logs[i].prev_seq_no, first + i);
        EQUAL(logs[i].len, strlen(payload));
        EQUAL(memcmp(logs[i].data, payload, strlen(payload)), 0);
    }
}

/* Takes all logs from one place on, so many at a time. */
static void take_pieces(const waldo_chunk *chunk, size_t first, size_t capacity)
{
    waldo_log logs[LOGS + 1];
    while (first < LOGS) {
        size_t left = LOGS - first, wanted = left < capacity ? left : capacity;
        EQUAL(waldo_chunk_logs(chunk, first, logs, capacity), wanted);
        check_logs(logs, first, wanted);
        first += wanted;
    }
    EQUAL(waldo_chunk_logs(chunk, first, logs, capacity), 0);
    EQUAL(waldo_chunk_logs(chunk, first + 1, logs, capacity), 0);
}

static void a_chunk_is_taken_in_pieces(waldo *store)
{
    for (size_t capacity = 1; capacity <= LOGS + 1; capacity++) {
        waldo_chunk *chunk = NULL;
        OK(waldo_query(store, WALDO_CURSOR_TRIM, 0, 0, 0, &chunk, &error));
        take_pieces(chunk, 0, capacity);
        take_pieces(chunk, 0, LOGS + 1 - capacity ? LOGS + 1 - capacity : 1);
        take_pieces(chunk, capacity % LOGS, 2);
        EQUAL(waldo_chunk_count(chunk), LOGS);
        take_pieces(chunk, 0, capacity);
        waldo_chunk_release(chunk);
    }
}

/* From the middle on, with nothing taken before that. */
static void a_chunk_is_taken_from_the_middle(waldo *store)
{
    for (size_t first = 1; first <= LOGS; first++) {
        waldo_chunk *chunk = NULL;
        OK(waldo_query(store, WALDO_CURSOR_TRIM, 0, 0, 0, &chunk, &error));
        take_pieces(chunk, first, 3);
        waldo_chunk_release(chunk);
    }
}

/* The second piece twice: the place behind it is known, but not asked for. */
static void a_piece_is_taken_again(waldo *store)
{
    for (size_t capacity = 1; capacity <= LOGS / 2; capacity++) {
        waldo_chunk *chunk = NULL;
        waldo_log logs[LOGS];
        OK(waldo_query(store, WALDO_CURSOR_TRIM, 0, 0, 0, &chunk, &error));
        EQUAL(waldo_chunk_logs(chunk, 0, logs, capacity), capacity);
        for (int round = 0; round < 2; round++) {
            EQUAL(waldo_chunk_logs(chunk, capacity, logs, capacity), capacity);
            check_logs(logs, capacity, capacity);
        }
        waldo_chunk_release(chunk);
    }
}

/* Streams side by side are given one chunk, which each releases for itself. */
static void streams_share_a_chunk(waldo *store)
{
    waldo_stream *streams[STREAMS];
    waldo_completion done[STREAMS];
    waldo_queue *queue = NULL;
    size_t count = 0, shared = 0;
    OK(waldo_queue_new(STREAMS, &queue, &error));
    for (uint64_t i = 0; i < STREAMS; i++) {
        OK(waldo_stream_new(store, WALDO_CURSOR_TRIM, 0, 0, &streams[i], &error));
        OK(waldo_stream_next_async(streams[i], queue, i, &error));
    }
    EQUAL(waldo_queue_wait(queue, done, STREAMS, STREAMS, 10 * SECOND, &count), WALDO_OK);
    EQUAL(count, STREAMS);
    for (size_t i = 0; i < STREAMS; i++) {
        EQUAL(done[i].status, WALDO_OK);
        EQUAL(done[i].first_seq_no, 1);
        EQUAL(done[i].last_seq_no, LOGS);
        shared += i > 0 && done[i].chunk == done[i - 1].chunk;
    }
    CHECK(shared > 0);
    for (size_t i = 0; i < STREAMS; i++) {
        take_pieces(done[i].chunk, 0, i + 1);
        waldo_chunk_release(done[i].chunk);
        waldo_stream_release(streams[i]);
    }
    waldo_queue_release(queue);
}

/* A stream that starts elsewhere is given its own logs, not those of the one before it. */
static void streams_at_other_places_share_nothing(waldo *store)
{
    waldo_stream *streams[STREAMS];
    waldo_completion done[STREAMS];
    waldo_queue *queue = NULL;
    size_t count = 0;
    OK(waldo_queue_new(STREAMS, &queue, &error));
    for (uint64_t i = 0; i < STREAMS; i++) {
        OK(waldo_stream_new(store, WALDO_CURSOR_AFTER, i, 0, &streams[i], &error));
        OK(waldo_stream_next_async(streams[i], queue, i, &error));
    }
    EQUAL(waldo_queue_wait(queue, done, STREAMS, STREAMS, 10 * SECOND, &count), WALDO_OK);
    for (size_t i = 0; i < STREAMS; i++) {
        waldo_log logs[LOGS];
        size_t first = (size_t)done[i].user_data;
        EQUAL(done[i].first_seq_no, first + 1);
        EQUAL(waldo_chunk_logs(done[i].chunk, 0, logs, LOGS), LOGS - first);
        check_logs(logs, first, LOGS - first);
        waldo_chunk_release(done[i].chunk);
    }
    for (size_t i = 0; i < STREAMS; i++)
        waldo_stream_release(streams[i]);
    waldo_queue_release(queue);
}

int main(void)
{
    waldo *store = test_open("chunks");
    fill(store);
    a_chunk_is_taken_in_pieces(store);
    a_chunk_is_taken_from_the_middle(store);
    a_piece_is_taken_again(store);
    streams_share_a_chunk(store);
    streams_at_other_places_share_nothing(store);
    OK(waldo_close(store, -1, &error));
    waldo_release(store);
    return 0;
}
