/* Carries out conformance scripts in C: runner SCRIPT... */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "script.h"

enum { HANDLES = 64, QUEUES = 8, TAKEN = 64, PATIENCE_S = 30 };

/* What outputs hold before a call, so that one that is not written is noticed. */
#define GARBAGE ((void *)(uintptr_t)0x5a5a5a58)
static const int64_t PATIENCE_NS = PATIENCE_S * INT64_C(1000000000);

/* Handles by name. */

static struct named {
    const char *kind;
    char name[16];
    void *handle;
} handles[HANDLES];
static size_t handle_count;

static struct named *find(const char *kind, const char *name)
{
    for (size_t i = 0; i < handle_count; i++)
        if (strcmp(handles[i].kind, kind) == 0 && strcmp(handles[i].name, name) == 0)
            return &handles[i];
    return NULL;
}

static void *handle(const char *kind)
{
    const char *name = text(kind);
    if (name == NULL || strcmp(name, "NULL") == 0)
        return NULL;
    const struct named *found = find(kind, name);
    if (found == NULL)
        wrong("there is no %s %s", kind, name);
    return found->handle;
}

static void give(const char *kind, void *value)
{
    const char *name = text(kind);
    if (name == NULL)
        return;
    struct named *found = find(kind, name);
    if (found == NULL) {
        if (handle_count == HANDLES || strlen(name) >= sizeof handles->name)
            wrong("too many handles, or too long a name");
        found = &handles[handle_count++];
        found->kind = kind;
        strcpy(found->name, name);
    }
    found->handle = value;
}

/* Takes a handle that a call gave out, or did not. */
static void made(const char *kind, waldo_status status, void *value)
{
    if ((status == WALDO_OK) != (value != NULL) || value == GARBAGE)
        wrong("%s with the %s %p", waldo_status_name(status), kind, value);
    give(kind, value);
}

/* Errors: filled with garbage before a call, and checked after it. */

static waldo_error error;

static waldo_error *before(void)
{
    memset(&error, 0x5a, sizeof error);
    return &error;
}

static waldo_status after_advised(waldo_status status)
{
    if (error.status != status)
        wrong("answers %s, but the error says %d", waldo_status_name(status), error.status);
    for (size_t i = 0; i < sizeof error.reserved / sizeof *error.reserved; i++)
        if (error.reserved[i] != 0)
            wrong("reserved is not zero");
    output_status(status);
    output("message", error.message);
    output_number("wanted", error.wanted);
    output_number("actual", error.actual);
    output_number("os_errno", (uint64_t)error.os_errno);
    return status;
}

static waldo_status after(waldo_status status)
{
    if ((status == WALDO_OK) != (error.message[0] == 0))
        wrong("answers %s with the message '%s'", waldo_status_name(status), error.message);
    return after_advised(status);
}

/* Versions, names, options. */

static void do_version_number(void) { output_number("value", waldo_version_number()); }
static void do_version_string(void) { output("value", waldo_version_string()); }
static void do_abi_version(void) { output_number("value", waldo_abi_version()); }

static void do_probe(void)
{
    uint64_t features = UINT64_MAX;
    after_advised(waldo_probe(&features, before()));
    output_number("features", features);
}

static void do_status_name(void)
{
    output("value", waldo_status_name((waldo_status)integer("status", 0)));
}

static void do_status_traits(void)
{
    output_number("value", waldo_status_traits((waldo_status)integer("status", 0)));
}

static void do_options_new(void)
{
    waldo_options *options = GARBAGE;
    waldo_status status = waldo_options_new(&options);
    output_status(status);
    made("options", status, options);
}

static void do_options_free(void) { waldo_options_free(handle("options")); }

static void do_options_set(void)
{
    after(waldo_options_set(handle("options"), text("key"), text("value"), before()));
}

static void do_options_set_u64(void)
{
    after(waldo_options_set_u64(handle("options"), text("key"), number("value"), before()));
}

static void do_options_get(void)
{
    char value[64] = "garbage";
    size_t size = (size_t)integer("size", sizeof value);
    after(waldo_options_get(handle("options"), text("key"), value, size, before()));
    output("value", value);
}

static void do_options_key(void)
{
    const char *key = waldo_options_key((size_t)number("index"));
    output("value", key == NULL ? "NULL" : key);
}

/* Queues, and the completions that came out of them and were not asked for yet. */

static struct queue {
    waldo_queue *handle;
    int is_polled;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    waldo_completion taken[TAKEN];
    size_t count;
} queues[QUEUES];
static size_t queue_count;

static void keep(struct queue *queue, const waldo_completion *done, size_t count)
{
    if (queue->count + count > TAKEN)
        wrong("too many completions");
    memcpy(queue->taken + queue->count, done, count * sizeof *done);
    queue->count += count;
}

static void on_completions(void *context, const waldo_completion *done, size_t count)
{
    struct queue *queue = context;
    pthread_mutex_lock(&queue->lock);
    keep(queue, done, count);
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

static void new_queue(int is_polled)
{
    if (queue_count == QUEUES)
        wrong("too many queues");
    struct queue *queue = &queues[queue_count++];
    const uint32_t depth = (uint32_t)number("depth");
    waldo_status status;
    memset(queue, 0, sizeof *queue);
    queue->is_polled = is_polled;
    queue->handle = GARBAGE;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, NULL);
    if (is_polled)
        status = waldo_queue_new(depth, &queue->handle, before());
    else
        status = waldo_queue_new_callback(depth, on_completions, queue, &queue->handle, before());
    made("queue", after(status), queue->handle);
}

static void do_queue_new(void) { new_queue(1); }
static void do_queue_new_callback(void) { new_queue(0); }

static struct queue *known_queue(void)
{
    const waldo_queue *wanted = handle("queue");
    for (size_t i = queue_count; i-- > 0;)
        if (queues[i].handle == wanted)
            return &queues[i];
    wrong("there is no such queue");
}

static void do_queue_fd(void)
{
    int fd = waldo_queue_fd(handle("queue"));
    if (fd < 0)
        output("value", "-1");
    else
        output_number("value", (uint64_t)fd);
}

static void do_queue_poll(void)
{
    waldo_completion done[TAKEN];
    size_t count = waldo_queue_poll(handle("queue"), done, (size_t)number("capacity"));
    if (count > 0)
        keep(known_queue(), done, count);
    output_number("count", count);
}

static void do_queue_wait(void)
{
    waldo_completion done[TAKEN];
    size_t count = SIZE_MAX;
    waldo_status status =
        waldo_queue_wait(handle("queue"), done, (size_t)number("capacity"),
                         (size_t)number("min"), integer("timeout_ns", -1), &count);
    if (count > 0)
        keep(known_queue(), done, count);
    output_status(status);
    output_number("count", count);
}

static void do_queue_cancel(void)
{
    output_status(waldo_queue_cancel(handle("queue"), number("user_data")));
}

static void do_queue_release(void) { waldo_queue_release(handle("queue")); }

/* Waits for a completion; under the lock of its queue. */
static waldo_completion await(struct queue *queue, uint64_t user_data)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE_S;
    for (;;) {
        for (size_t i = 0; i < queue->count; i++) {
            if (queue->taken[i].user_data == user_data) {
                waldo_completion found = queue->taken[i];
                queue->count--;
                memmove(queue->taken + i, queue->taken + i + 1,
                        (queue->count - i) * sizeof found);
                return found;
            }
        }
        waldo_completion done;
        size_t count = 1;
        if (queue->is_polled) {
            waldo_queue_wait(queue->handle, &done, 1, 1, PATIENCE_NS, &count);
            keep(queue, &done, count);
        } else if (pthread_cond_timedwait(&queue->changed, &queue->lock, &deadline) != 0) {
            count = 0;
        }
        if (count == 0)
            wrong("no completion has the user_data %" PRIu64, user_data);
    }
}

static void do_take(void)
{
    static const char *const kinds[] = {
        [WALDO_KIND_OPEN] = "OPEN",         [WALDO_KIND_CLOSE] = "CLOSE",
        [WALDO_KIND_APPEND] = "APPEND",     [WALDO_KIND_SYNC] = "SYNC",
        [WALDO_KIND_TRIM] = "TRIM",         [WALDO_KIND_TRUNCATE] = "TRUNCATE",
        [WALDO_KIND_CLEAR] = "CLEAR",       [WALDO_KIND_QUERY] = "QUERY",
        [WALDO_KIND_STREAM_NEXT] = "STREAM_NEXT",
    };
    struct queue *queue = known_queue();
    pthread_mutex_lock(&queue->lock);
    waldo_completion done = await(queue, number("user_data"));
    pthread_mutex_unlock(&queue->lock);
    if ((done.chunk && !text("chunk")) || (done.store && !text("store")))
        wrong("the completion has a chunk or a store, which the step does not name");
    if (done.flags != 0 || done.reserved[0] != 0 || done.reserved[1] != 0)
        wrong("flags or reserved of the completion are not zero");
    if (done.kind == 0 || done.kind > WALDO_KIND_STREAM_NEXT)
        wrong("the completion is of the kind %" PRIu32, done.kind);
    give("chunk", done.chunk);
    give("store", done.store);
    output_status(done.status);
    output("kind", kinds[done.kind]);
    output_number("os_errno", (uint64_t)done.os_errno);
    output_number("first_seq_no", done.first_seq_no);
    output_number("last_seq_no", done.last_seq_no);
    output_number("count", done.count);
    output_number("wanted", done.wanted);
    output_number("actual", done.actual);
}

/* Opening and closing. */

static void do_open(void)
{
    waldo *store = GARBAGE;
    waldo_status status = waldo_open(text("path"), handle("options"), &store, before());
    made("store", after(status), store);
}

static void do_open_async(void)
{
    after(waldo_open_async(text("path"), handle("options"), handle("queue"), number("user_data"),
                           before()));
}

static void do_close(void)
{
    after(waldo_close(handle("store"), integer("timeout_ns", -1), before()));
}

static void do_close_async(void)
{
    after(waldo_close_async(handle("store"), handle("queue"), number("user_data"), before()));
}

static void do_retain(void) { waldo_retain(handle("store")); }
static void do_release(void) { waldo_release(handle("store")); }

/* Appending. */

static void do_append(void)
{
    waldo_log *logs;
    uint64_t last = UINT64_MAX - 1;
    size_t count = parse_logs(text("logs"), &logs);
    after(waldo_append(handle("store"), logs, count, bits("flags"), &last, before()));
    output_number("last_seq_no", last);
}

static void do_append_async(void)
{
    waldo_log *logs;
    size_t count = parse_logs(text("logs"), &logs);
    after(waldo_append_async(handle("store"), logs, count, bits("flags"), handle("queue"),
                             number("user_data"), before()));
}

static void do_append_packed(void)
{
    uint64_t last = UINT64_MAX - 1;
    struct packed packed = parse_payloads(text("payloads"), integer("times", 1));
    after(waldo_append_packed(handle("store"), (const uint8_t *)packed.base.bytes, packed.base.len,
                              packed.ends, packed.count, bits("flags"), &last, before()));
    output_number("last_seq_no", last);
}

static void do_append_packed_async(void)
{
    struct packed packed = parse_payloads(text("payloads"), integer("times", 1));
    after(waldo_append_packed_async(handle("store"), (const uint8_t *)packed.base.bytes,
                                    packed.base.len, packed.ends, packed.count, bits("flags"),
                                    handle("queue"), number("user_data"), before()));
}

/* Managing. */

static void do_sync(void) { after(waldo_sync(handle("store"), before())); }

static void do_sync_async(void)
{
    after(waldo_sync_async(handle("store"), handle("queue"), number("user_data"), before()));
}

static void do_trim(void) { after(waldo_trim(handle("store"), number("seq_no"), before())); }

static void do_trim_async(void)
{
    after(waldo_trim_async(handle("store"), number("seq_no"), handle("queue"),
                           number("user_data"), before()));
}

static void do_truncate(void)
{
    after(waldo_truncate(handle("store"), number("seq_no"), before()));
}

static void do_truncate_async(void)
{
    after(waldo_truncate_async(handle("store"), number("seq_no"), handle("queue"),
                               number("user_data"), before()));
}

static void do_clear(void) { after(waldo_clear(handle("store"), before())); }

static void do_clear_async(void)
{
    after(waldo_clear_async(handle("store"), handle("queue"), number("user_data"), before()));
}

#define FIELD(name) output_number(#name, found.name)

static void do_metadata_get(void)
{
    waldo_metadata found;
    memset(&found, 0x5a, sizeof found);
    size_t size = (size_t)integer("size", sizeof found);
    after(waldo_metadata_get(handle("store"), &found, size, before()));
    FIELD(after_seq_no), FIELD(prev_seq_no), FIELD(durable_seq_no), FIELD(log_count);
    FIELD(index_count), FIELD(disk_size), FIELD(index_size), FIELD(page_count);
    FIELD(pending_resets), FIELD(pending_appends), FIELD(pending_queries), FIELD(pending_fsyncs);
    FIELD(buffers_free), FIELD(buffers_detached), FIELD(read_memory_used), FIELD(waiting_streams);
    FIELD(log_size_limit), FIELD(batch_size_limit), FIELD(batch_count_limit);
}

static void do_recovery_get(void)
{
    waldo_recovery found;
    memset(&found, 0x5a, sizeof found);
    size_t size = (size_t)integer("size", sizeof found);
    after(waldo_recovery_get(handle("store"), &found, size, before()));
    FIELD(created), FIELD(page_count), FIELD(sealed_page_count), FIELD(bytes_read);
    FIELD(log_count), FIELD(after_seq_no), FIELD(prev_seq_no), FIELD(dropped);
    FIELD(dropped_page), FIELD(dropped_offset), FIELD(dropped_frame_count), FIELD(cut);
    FIELD(cut_page), FIELD(cut_offset), FIELD(cut_after_seq_no), FIELD(quarantined_count);
    FIELD(duration_ns);
}

static void do_prev_seq_no(void)
{
    uint64_t value = UINT64_MAX - 1;
    output_status(waldo_prev_seq_no(handle("store"), &value));
    output_number("value", value);
}

static void do_durable_seq_no(void)
{
    uint64_t value = UINT64_MAX - 1;
    output_status(waldo_durable_seq_no(handle("store"), &value));
    output_number("value", value);
}

/* Reading. */

static void do_query(void)
{
    waldo_chunk *chunk = GARBAGE;
    waldo_status status =
        waldo_query(handle("store"), bits("cursor"), number("seq_no"), bits("flags"),
                    integer("timeout_ns", -1), &chunk, before());
    made("chunk", after(status), chunk);
}

static void do_query_async(void)
{
    after(waldo_query_async(handle("store"), bits("cursor"), number("seq_no"), bits("flags"),
                            handle("queue"), number("user_data"), before()));
}

static void do_stream_new(void)
{
    waldo_stream *stream = GARBAGE;
    waldo_status status = waldo_stream_new(handle("store"), bits("cursor"), number("seq_no"),
                                           bits("flags"), &stream, before());
    made("stream", after(status), stream);
}

static void do_stream_next(void)
{
    waldo_chunk *chunk = GARBAGE;
    waldo_status status =
        waldo_stream_next(handle("stream"), integer("timeout_ns", -1), &chunk, before());
    made("chunk", after(status), chunk);
}

static void do_stream_next_async(void)
{
    after(waldo_stream_next_async(handle("stream"), handle("queue"), number("user_data"),
                                  before()));
}

static void do_stream_position(void)
{
    output_number("value", waldo_stream_position(handle("stream")));
}

static void do_stream_seek(void)
{
    after(waldo_stream_seek(handle("stream"), number("seq_no"), before()));
}

static void do_stream_release(void) { waldo_stream_release(handle("stream")); }

/* Writes down the logs of a chunk; answers how many. */
static size_t put_chunk(struct text *logs, const waldo_chunk *chunk, size_t first, size_t capacity)
{
    waldo_log *found = memory(capacity * sizeof *found);
    size_t count = waldo_chunk_logs(chunk, first, found, capacity);
    for (size_t i = 0; i < count; i++)
        put_log(logs, &found[i]);
    free(found);
    return count;
}

static void do_stream_read(void)
{
    struct text logs = {0};
    const uint64_t count = number("count");
    for (uint64_t seen = 0; seen < count;) {
        waldo_chunk *chunk = NULL;
        waldo_status status = waldo_stream_next(handle("stream"), PATIENCE_NS, &chunk, before());
        if (status != WALDO_OK)
            wrong("stream_next answers %s", waldo_status_name(status));
        /* A chunk may hold more. */
        seen += put_chunk(&logs, chunk, 0, (size_t)(count - seen));
        waldo_chunk_release(chunk);
    }
    output_text("logs", &logs);
}

static void do_chunk_count(void) { output_number("value", waldo_chunk_count(handle("chunk"))); }

static void do_chunk_logs(void)
{
    struct text logs = {0};
    output_number("count", put_chunk(&logs, handle("chunk"), (size_t)number("first"),
                                     (size_t)number("capacity")));
    output_text("logs", &logs);
}

static void do_chunk_data(void)
{
    struct text escaped = {0};
    size_t len = SIZE_MAX;
    const uint8_t *data = waldo_chunk_data(handle("chunk"), &len);
    if (data == NULL && len != 0)
        wrong("%zu bytes at NULL", len);
    put_payload(&escaped, data, len);
    output_number("len", len);
    output_text("data", &escaped);
}

static void do_chunk_retain(void) { waldo_chunk_retain(handle("chunk")); }
static void do_chunk_release(void) { waldo_chunk_release(handle("chunk")); }

#define VERB(name) {#name, do_##name}

static const struct verb verbs[] = {
    VERB(abi_version), VERB(append), VERB(append_async), VERB(append_packed),
    VERB(append_packed_async), VERB(chunk_count), VERB(chunk_data), VERB(chunk_logs),
    VERB(chunk_release), VERB(chunk_retain), VERB(clear), VERB(clear_async), VERB(close),
    VERB(close_async), VERB(durable_seq_no), VERB(metadata_get), VERB(open), VERB(open_async),
    VERB(options_free), VERB(options_get), VERB(options_key), VERB(options_new),
    VERB(options_set), VERB(options_set_u64), VERB(prev_seq_no), VERB(probe), VERB(query),
    VERB(query_async), VERB(queue_cancel), VERB(queue_fd), VERB(queue_new),
    VERB(queue_new_callback), VERB(queue_poll), VERB(queue_release), VERB(queue_wait),
    VERB(recovery_get), VERB(release), VERB(retain), VERB(status_name), VERB(status_traits),
    VERB(stream_new), VERB(stream_next), VERB(stream_next_async), VERB(stream_position),
    VERB(stream_read), VERB(stream_release), VERB(stream_seek), VERB(sync), VERB(sync_async),
    VERB(take), VERB(trim), VERB(trim_async), VERB(truncate), VERB(truncate_async),
    VERB(version_number), VERB(version_string),
};

int main(int argc, char **argv)
{
    size_t steps = 0;
    for (int i = 1; i < argc; i++) {
        handle_count = queue_count = 0;
        steps += run_script(argv[i], verbs, sizeof verbs / sizeof *verbs);
    }
    printf("%zu\n", steps);
    return 0;
}
