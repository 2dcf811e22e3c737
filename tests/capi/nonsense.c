/*
 * Every function with NULL and nonsense for every argument: refused with the right status, its
 * outputs written, nothing submitted; and what was accepted completes once.
 *
 * With --list it prints the functions that it calls, which a test compares with all there are.
 */
#include "test.h"

/* What a bad value leads to: a status, or whatever the function likes. */
enum { ANY = 1, BAD = WALDO_INVALID_ARGUMENT, MOST = 6, DEPTH = 4 };

/* A kind of argument: what each of its bad values leads to. A 0 ends them. */
struct kind {
    const char *name;
    waldo_status bad[MOST];
};

static waldo *the_store;
static waldo_queue *the_queue;
static waldo_stream *the_stream;
static waldo_chunk *the_chunk;
static waldo_options *the_options;
static waldo_completion completions[DEPTH];
static atomic_size_t called;

/* What functions write to; aligned, so that one byte further on is not. */
static _Alignas(16) struct {
    uint64_t number;
    size_t count;
    void *handle;
    char text[64];
    waldo_metadata metadata;
    waldo_recovery recovery;
    waldo_log logs[4];
    waldo_error fault;
} out;

static void *skewed(void *pointer)
{
    return (char *)pointer + 1;
}

static void none(void *context, const waldo_completion *done, size_t count)
{
    (void)context, (void)done;
    atomic_fetch_add(&called, count);
}

/* Each kind K is a function K_(pick): the good value for 0, and the bad ones from 1 on. */
#define KIND(K, ...) static const struct kind K = {#K, {__VA_ARGS__}}
#define POINTER(K, type, good)                                                                  \
    KIND(K, BAD, BAD);                                                                          \
    static type *K##_(unsigned pick)                                                            \
    {                                                                                           \
        return pick == 0 ? (type *)(good) : pick == 1 ? NULL : (type *)skewed(good);            \
    }
/* NULL is as good, and so is what cannot be written to. */
#define OPTIONAL(K, type, good)                                                                 \
    KIND(K, ANY, ANY);                                                                          \
    static type *K##_(unsigned pick)                                                            \
    {                                                                                           \
        return pick == 0 ? (type *)(good) : pick == 1 ? NULL : (type *)skewed(good);            \
    }
#define NUMBER(K, type, good, first, second)                                                    \
    static type K##_(unsigned pick)                                                             \
    {                                                                                           \
        return pick == 0 ? (good) : pick == 1 ? (first) : (second);                             \
    }

POINTER(STORE, waldo, the_store)
POINTER(QUEUE, waldo_queue, the_queue)
POINTER(STREAM, waldo_stream, the_stream)
POINTER(OPTIONS, waldo_options, the_options)
POINTER(CHUNK, waldo_chunk, the_chunk)
POINTER(OUT_NUMBER, uint64_t, &out.number)
POINTER(OUT_COUNT, size_t, &out.count)
POINTER(OUT_METADATA, waldo_metadata, &out.metadata)
POINTER(OUT_RECOVERY, waldo_recovery, &out.recovery)
POINTER(OUT_STORE, waldo *, &out.handle)
POINTER(OUT_QUEUE, waldo_queue *, &out.handle)
POINTER(OUT_STREAM, waldo_stream *, &out.handle)
POINTER(OUT_CHUNK, waldo_chunk *, &out.handle)
POINTER(OUT_OPTIONS, waldo_options *, &out.handle)
POINTER(OUT_LOGS, waldo_log, out.logs)
POINTER(OUT_COMPLETIONS, waldo_completion, completions)
OPTIONAL(LAST, uint64_t, &out.number)
OPTIONAL(SIZE_OF, size_t, &out.count)
OPTIONAL(ERROR, waldo_error, &out.fault)

/* What functions take away. */
#define RELEASES(K, type, make)                                                                 \
    KIND(K, ANY, ANY);                                                                          \
    static type *K##_(unsigned pick)                                                            \
    {                                                                                           \
        return pick == 1 ? NULL : pick == 2 ? (type *)skewed(&out) : (make);                    \
    }
static waldo_options *new_options(void)
{
    waldo_options *options = NULL;
    EQUAL(waldo_options_new(&options), WALDO_OK);
    return options;
}
static waldo_queue *new_queue(void)
{
    waldo_queue *queue = NULL;
    OK(waldo_queue_new(1, &queue, &error));
    return queue;
}
static waldo_stream *new_stream(void)
{
    waldo_stream *stream = NULL;
    OK(waldo_stream_new(the_store, WALDO_CURSOR_TIP, 0, 0, &stream, &error));
    return stream;
}
static waldo *one_more_store(void)
{
    waldo_retain(the_store);
    return the_store;
}
static waldo_chunk *one_more_chunk(void)
{
    waldo_chunk_retain(the_chunk);
    return the_chunk;
}
RELEASES(OLD_OPTIONS, waldo_options, new_options())
RELEASES(OLD_QUEUE, waldo_queue, new_queue())
RELEASES(OLD_STREAM, waldo_stream, new_stream())
RELEASES(OLD_STORE, waldo, one_more_store())
RELEASES(OLD_CHUNK, waldo_chunk, one_more_chunk())

/* NULL means the defaults, whose files are large: another test does that. */
KIND(SOME_OPTIONS, BAD);
static const waldo_options *SOME_OPTIONS_(unsigned pick)
{
    return pick == 0 ? the_options : (const waldo_options *)skewed(the_options);
}

KIND(FLAGS, BAD, BAD);
NUMBER(FLAGS, uint32_t, WALDO_APPEND_ASSIGN, 16, UINT32_MAX)
KIND(NO_FLAGS, BAD, BAD);
NUMBER(NO_FLAGS, uint32_t, 0, 2, UINT32_MAX)
KIND(CURSOR, BAD, BAD);
NUMBER(CURSOR, uint32_t, WALDO_CURSOR_TRIM, 4, UINT32_MAX)
KIND(QUEUE_DEPTH, BAD, BAD);
NUMBER(QUEUE_DEPTH, uint32_t, 1, 0, UINT32_MAX)
KIND(COUNT, ANY, BAD);
NUMBER(COUNT, size_t, 1, 0, SIZE_MAX)
KIND(CAPACITY, ANY, ANY);
NUMBER(CAPACITY, size_t, DEPTH, 0, 1)
KIND(MIN, BAD, BAD);
NUMBER(MIN, size_t, 0, DEPTH + 1, SIZE_MAX)
KIND(TIMEOUT, ANY, ANY);
NUMBER(TIMEOUT, int64_t, 0, INT64_MIN, INT64_MAX)
KIND(SEQ_NO, ANY, ANY);
NUMBER(SEQ_NO, uint64_t, 1, 0, UINT64_MAX)
KIND(USER_DATA, ANY, ANY);
NUMBER(USER_DATA, uint64_t, 1, 0, UINT64_MAX)
KIND(INDEX, ANY, ANY);
NUMBER(INDEX, size_t, 0, 100, SIZE_MAX)
KIND(CODE, ANY, ANY);
NUMBER(CODE, waldo_status, 0, INT32_MIN, INT32_MAX)
KIND(VALUE_64, ANY, WALDO_OPTION);
NUMBER(VALUE_64, uint64_t, 4, 0, UINT64_MAX)
KIND(TEXT_SIZE, BAD, BAD);
NUMBER(TEXT_SIZE, size_t, sizeof out.text, 0, 1)
KIND(METADATA_SIZE, BAD, BAD);
NUMBER(METADATA_SIZE, size_t, sizeof(waldo_metadata), 0, SIZE_MAX)
KIND(RECOVERY_SIZE, BAD, BAD);
NUMBER(RECOVERY_SIZE, size_t, sizeof(waldo_recovery), 7, SIZE_MAX)
KIND(LEN, BAD, BAD);
NUMBER(LEN, uint64_t, 3, 1, UINT64_MAX)

KIND(CONTEXT, ANY);
static void *CONTEXT_(unsigned pick)
{
    return pick == 0 ? &called : NULL;
}
KIND(CALLBACK, BAD);
static waldo_completion_fn CALLBACK_(unsigned pick)
{
    return pick == 0 ? none : NULL;
}
KIND(PATH, BAD, BAD, ANY);
static const char *PATH_(unsigned pick)
{
    const char *paths[] = {"another", NULL, "", "nonsense"};
    return paths[pick];
}
KIND(KEY, BAD, WALDO_OPTION, WALDO_OPTION, WALDO_OPTION);
static const char *KEY_(unsigned pick)
{
    const char *keys[] = {"ring_size", NULL, "", "RING_SIZE", "\xff\xfe"};
    return keys[pick];
}
KIND(VALUE, BAD, WALDO_OPTION, WALDO_OPTION, WALDO_OPTION, WALDO_OPTION);
static const char *VALUE_(unsigned pick)
{
    const char *values[] = {"5", NULL, "", "five", "99999999999999999999999999", "\xff\xfe"};
    return values[pick];
}
KIND(TEXT, BAD);
static char *TEXT_(unsigned pick)
{
    return pick == 0 ? out.text : NULL;
}
KIND(BASE, BAD);
static const uint8_t *BASE_(unsigned pick)
{
    return pick == 0 ? (const uint8_t *)"abc" : NULL;
}
KIND(ENDS, BAD, BAD, BAD, BAD);
static const uint64_t *ENDS_(unsigned pick)
{
    static uint64_t ends[4] = {3, 4, UINT64_MAX};
    const uint64_t *values[] = {ends, NULL, skewed(ends), ends + 1, ends + 2};
    return values[pick];
}
KIND(LOGS, BAD, BAD, BAD, BAD, WALDO_EXCEEDS_LIMIT);
static const waldo_log *LOGS_(unsigned pick)
{
    static uint8_t large[1 << 20];
    static waldo_log logs[] = {{.data = large, .len = 3},
                               {.data = NULL, .len = 3},
                               {.data = large, .len = UINT64_MAX},
                               {.data = large, .len = sizeof large}};
    const waldo_log *values[] = {logs, NULL, skewed(logs), logs + 1, logs + 2, logs + 3};
    return values[pick];
}

/*
 * Every function with the kinds of its arguments. STATUS ones answer a status; others something
 * else, or nothing.
 */
#define FUNCTIONS(STATUS, OTHER, VOID, NONE)                                                    \
    NONE(waldo_version_number)                                                                  \
    NONE(waldo_version_string)                                                                  \
    NONE(waldo_abi_version)                                                                     \
    STATUS(waldo_probe, OUT_NUMBER, ERROR)                                                      \
    OTHER(waldo_status_name, CODE)                                                              \
    OTHER(waldo_status_traits, CODE)                                                            \
    STATUS(waldo_options_new, OUT_OPTIONS)                                                      \
    VOID(waldo_options_free, OLD_OPTIONS)                                                       \
    STATUS(waldo_options_set, OPTIONS, KEY, VALUE, ERROR)                                       \
    STATUS(waldo_options_set_u64, OPTIONS, KEY, VALUE_64, ERROR)                                \
    STATUS(waldo_options_get, OPTIONS, KEY, TEXT, TEXT_SIZE, ERROR)                             \
    OTHER(waldo_options_key, INDEX)                                                             \
    STATUS(waldo_queue_new, QUEUE_DEPTH, OUT_QUEUE, ERROR)                                      \
    STATUS(waldo_queue_new_callback, QUEUE_DEPTH, CALLBACK, CONTEXT, OUT_QUEUE, ERROR)          \
    OTHER(waldo_queue_fd, QUEUE)                                                                \
    OTHER(waldo_queue_poll, QUEUE, OUT_COMPLETIONS, CAPACITY)                                   \
    STATUS(waldo_queue_wait, QUEUE, OUT_COMPLETIONS, CAPACITY, MIN, TIMEOUT, OUT_COUNT)         \
    STATUS(waldo_queue_cancel, QUEUE, USER_DATA)                                                \
    VOID(waldo_queue_release, OLD_QUEUE)                                                        \
    STATUS(waldo_open, PATH, SOME_OPTIONS, OUT_STORE, ERROR)                                    \
    STATUS(waldo_open_async, PATH, SOME_OPTIONS, QUEUE, USER_DATA, ERROR)                       \
    STATUS(waldo_close, STORE, TIMEOUT, ERROR)                                                  \
    STATUS(waldo_close_async, STORE, QUEUE, USER_DATA, ERROR)                                   \
    VOID(waldo_retain, STORE)                                                                   \
    VOID(waldo_release, OLD_STORE)                                                              \
    STATUS(waldo_append, STORE, LOGS, COUNT, FLAGS, LAST, ERROR)                                \
    STATUS(waldo_append_async, STORE, LOGS, COUNT, FLAGS, QUEUE, USER_DATA, ERROR)              \
    STATUS(waldo_append_packed, STORE, BASE, LEN, ENDS, COUNT, FLAGS, LAST, ERROR)              \
    STATUS(waldo_append_packed_async, STORE, BASE, LEN, ENDS, COUNT, FLAGS, QUEUE, USER_DATA,   \
           ERROR)                                                                               \
    STATUS(waldo_sync, STORE, ERROR)                                                            \
    STATUS(waldo_sync_async, STORE, QUEUE, USER_DATA, ERROR)                                    \
    STATUS(waldo_trim, STORE, SEQ_NO, ERROR)                                                    \
    STATUS(waldo_trim_async, STORE, SEQ_NO, QUEUE, USER_DATA, ERROR)                            \
    STATUS(waldo_truncate, STORE, SEQ_NO, ERROR)                                                \
    STATUS(waldo_truncate_async, STORE, SEQ_NO, QUEUE, USER_DATA, ERROR)                        \
    STATUS(waldo_clear, STORE, ERROR)                                                           \
    STATUS(waldo_clear_async, STORE, QUEUE, USER_DATA, ERROR)                                   \
    STATUS(waldo_query, STORE, CURSOR, SEQ_NO, NO_FLAGS, TIMEOUT, OUT_CHUNK, ERROR)             \
    STATUS(waldo_query_async, STORE, CURSOR, SEQ_NO, NO_FLAGS, QUEUE, USER_DATA, ERROR)         \
    STATUS(waldo_stream_new, STORE, CURSOR, SEQ_NO, NO_FLAGS, OUT_STREAM, ERROR)                \
    STATUS(waldo_stream_next, STREAM, TIMEOUT, OUT_CHUNK, ERROR)                                \
    STATUS(waldo_stream_next_async, STREAM, QUEUE, USER_DATA, ERROR)                            \
    OTHER(waldo_stream_position, STREAM)                                                        \
    STATUS(waldo_stream_seek, STREAM, SEQ_NO, ERROR)                                            \
    VOID(waldo_stream_release, OLD_STREAM)                                                      \
    OTHER(waldo_chunk_count, CHUNK)                                                             \
    OTHER(waldo_chunk_logs, CHUNK, INDEX, OUT_LOGS, CAPACITY)                                   \
    OTHER(waldo_chunk_data, CHUNK, SIZE_OF)                                                     \
    VOID(waldo_chunk_retain, CHUNK)                                                             \
    VOID(waldo_chunk_release, OLD_CHUNK)                                                        \
    STATUS(waldo_metadata_get, STORE, OUT_METADATA, METADATA_SIZE, ERROR)                       \
    STATUS(waldo_recovery_get, STORE, OUT_RECOVERY, RECOVERY_SIZE, ERROR)                       \
    STATUS(waldo_prev_seq_no, STORE, OUT_NUMBER)                                                \
    STATUS(waldo_durable_seq_no, STORE, OUT_NUMBER)

/* Applies a macro to each argument with its number. */
#define EACH_1(M, a) M(a, 0)
#define EACH_2(M, a, b) EACH_1(M, a), M(b, 1)
#define EACH_3(M, a, b, c) EACH_2(M, a, b), M(c, 2)
#define EACH_4(M, a, b, c, d) EACH_3(M, a, b, c), M(d, 3)
#define EACH_5(M, a, b, c, d, e) EACH_4(M, a, b, c, d), M(e, 4)
#define EACH_6(M, a, b, c, d, e, f) EACH_5(M, a, b, c, d, e), M(f, 5)
#define EACH_7(M, a, b, c, d, e, f, g) EACH_6(M, a, b, c, d, e, f), M(g, 6)
#define EACH_8(M, a, b, c, d, e, f, g, h) EACH_7(M, a, b, c, d, e, f, g), M(h, 7)
#define EACH_9(M, a, b, c, d, e, f, g, h, i) EACH_8(M, a, b, c, d, e, f, g, h), M(i, 8)
#define NTH(a, b, c, d, e, f, g, h, i, n, ...) n
#define ARITY(...)                                                                              \
    NTH(__VA_ARGS__, EACH_9, EACH_8, EACH_7, EACH_6, EACH_5, EACH_4, EACH_3, EACH_2, EACH_1, 0)
#define LIST(M, ...) ARITY(__VA_ARGS__)(M, __VA_ARGS__)
#define ARGUMENT(K, at) K##_(pick[at])
#define KIND_OF(K, at) &(K)

#define STATUS_CALL(name, ...)                                                                  \
    static waldo_status call_##name(const unsigned *pick)                                       \
    {                                                                                           \
        return name(LIST(ARGUMENT, __VA_ARGS__));                                               \
    }
#define OTHER_CALL(name, ...)                                                                   \
    static waldo_status call_##name(const unsigned *pick)                                       \
    {                                                                                           \
        (void)name(LIST(ARGUMENT, __VA_ARGS__));                                                \
        return ANY;                                                                             \
    }
#define VOID_CALL(name, ...)                                                                    \
    static waldo_status call_##name(const unsigned *pick)                                       \
    {                                                                                           \
        name(LIST(ARGUMENT, __VA_ARGS__));                                                      \
        return ANY;                                                                             \
    }
#define NONE_CALL(name)                                                                         \
    static waldo_status call_##name(const unsigned *pick)                                       \
    {                                                                                           \
        (void)pick;                                                                             \
        (void)name();                                                                           \
        return ANY;                                                                             \
    }
FUNCTIONS(STATUS_CALL, OTHER_CALL, VOID_CALL, NONE_CALL)

static const struct function {
    const char *name;
    waldo_status (*call)(const unsigned *pick);
    const struct kind *kinds[10];
} functions[] = {
#define ENTRY(name, ...) {#name, call_##name, {LIST(KIND_OF, __VA_ARGS__), NULL}},
#define NONE_ENTRY(name) {#name, call_##name, {NULL}},
    FUNCTIONS(ENTRY, ENTRY, ENTRY, NONE_ENTRY)};

/* A store with a log, a stream at its start, and an empty queue. */
static void set_up(void)
{
    static const waldo_log log = {.data = (const uint8_t *)"log", .len = 3};
    if (the_store == NULL || waldo_sync(the_store, NULL) == WALDO_CLOSED) {
        /* Where a close was not waited for. */
        waldo_close(the_store, -1, NULL);
        waldo_stream_release(the_stream);
        waldo_release(the_store);
        OK(waldo_open("nonsense", the_options, &the_store, &error));
        OK(waldo_stream_new(the_store, WALDO_CURSOR_TRIM, 0, 0, &the_stream, &error));
    }
    OK(waldo_append(the_store, &log, 1, WALDO_APPEND_ASSIGN, NULL, &error));
    OK(waldo_stream_seek(the_stream, 0, &error));
    OK(waldo_options_set(the_options, "ring_size", "3", &error));
    waldo_chunk_release(the_chunk);
    OK(waldo_query(the_store, WALDO_CURSOR_TRIM, 0, 0, 0, &the_chunk, &error));
    memset(&out, 0x5a, sizeof out);
}

static int is_one_of(const struct function *function, const struct kind *kind)
{
    for (int i = 0; function->kinds[i]; i++)
        if (function->kinds[i] == kind)
            return 1;
    return 0;
}

/* Takes back what the call gave. */
static void tear_down(const struct function *function, const unsigned *pick, waldo_status status)
{
    const char *name = function->name;
    if (is_one_of(function, &OUT_STORE) && status == WALDO_OK) {
        OK(waldo_close(out.handle, -1, &error));
        waldo_release(out.handle);
    } else if (is_one_of(function, &OUT_QUEUE) && status == WALDO_OK) {
        waldo_queue_release(out.handle);
    } else if (is_one_of(function, &OUT_STREAM) && status == WALDO_OK) {
        waldo_stream_release(out.handle);
    } else if (is_one_of(function, &OUT_CHUNK) && status == WALDO_OK) {
        waldo_chunk_release(out.handle);
    } else if (is_one_of(function, &OUT_OPTIONS) && status == WALDO_OK) {
        waldo_options_free(out.handle);
    } else if (strcmp(name, "waldo_retain") == 0 && pick[0] == 0) {
        waldo_release(the_store);
    } else if (strcmp(name, "waldo_chunk_retain") == 0 && pick[0] == 0) {
        waldo_chunk_release(the_chunk);
    }
    if (strstr(name, "_async") == NULL || status != WALDO_OK) {
        EQUAL(waldo_queue_poll(the_queue, completions, DEPTH), 0);
        return;
    }
    waldo_completion done = test_take(the_queue);
    waldo_chunk_release(done.chunk);
    if (done.store) {
        OK(waldo_close(done.store, -1, &error));
        waldo_release(done.store);
    }
}

/* What a call that fails leaves in its outputs; and what it says why. */
static void check_outputs(const struct function *function, const unsigned *pick, waldo_status status)
{
    for (int i = 0; function->kinds[i]; i++) {
        const struct kind *kind = function->kinds[i];
        if (pick[i] != 0)
            continue;
        if (kind == &ERROR) {
            EQUAL(out.fault.status, status);
            CHECK((status == WALDO_OK || out.fault.message[0] != 0) &&
                  memchr(out.fault.message, 0, sizeof out.fault.message));
        }
        if (status == WALDO_OK)
            continue;
        if (kind == &OUT_NUMBER || kind == &LAST)
            EQUAL(out.number, 0);
        else if (kind == &OUT_COUNT)
            EQUAL(out.count, 0);
        else if (kind == &OUT_STORE || kind == &OUT_QUEUE || kind == &OUT_STREAM ||
                 kind == &OUT_CHUNK || kind == &OUT_OPTIONS)
            CHECK(out.handle == NULL);
        else if (kind == &OUT_METADATA && pick[i + 1] == 0)
            EQUAL(out.metadata.disk_size, 0);
        else if (kind == &OUT_RECOVERY && pick[i + 1] == 0)
            EQUAL(out.recovery.page_count, 0);
    }
}

static void attempt(const struct function *function, const unsigned *pick, waldo_status expected)
{
    set_up();
    waldo_status status = function->call(pick);
    if (expected != ANY && status != expected) {
        fprintf(stderr, "%s answers %s, not %s, where the arguments are", function->name,
                waldo_status_name(status), waldo_status_name(expected));
        for (int i = 0; function->kinds[i]; i++)
            fprintf(stderr, " %s:%u", function->kinds[i]->name, pick[i]);
        fprintf(stderr, "\n");
        _exit(1);
    }
    if (status != ANY)
        check_outputs(function, pick, status);
    tear_down(function, pick, status);
}

static void attempt_all(const struct function *function)
{
    unsigned pick[10] = {0};
    waldo_status good = WALDO_OK, first = ANY;
    if (strcmp(function->name, "waldo_queue_cancel") == 0)
        good = WALDO_NOT_FOUND;
    const char *others[] = {"waldo_close", "waldo_truncate"};
    for (int i = 0; i < 2; i++)
        if (strncmp(function->name, others[i], strlen(others[i])) == 0)
            good = ANY;
    set_up();
    waldo_status answer = function->call(pick);
    if (answer == ANY)
        good = ANY;
    tear_down(function, pick, answer);
    attempt(function, pick, good);
    /* One wrong argument. */
    for (int at = 0; function->kinds[at]; at++) {
        const waldo_status *bad = function->kinds[at]->bad;
        for (unsigned which = 0; which < MOST && bad[which] != 0; which++) {
            pick[at] = which + 1;
            attempt(function, pick, answer == ANY ? ANY : bad[which]);
        }
        pick[at] = 0;
    }
    /* All of them; the handles are enough to refuse that. */
    for (int at = 0; function->kinds[at]; at++) {
        pick[at] = 1;
        if (function->kinds[at]->bad[0] == BAD)
            first = BAD;
    }
    attempt(function, pick, answer == ANY ? ANY : first);
}

int main(int argc, char **argv)
{
    const size_t count = sizeof functions / sizeof *functions;
    if (argc > 1 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < count; i++)
            puts(functions[i].name);
        return 0;
    }
    the_options = test_options();
    OK(waldo_options_set(the_options, "backend", "memory", &error));
    OK(waldo_queue_new(DEPTH, &the_queue, &error));
    for (size_t i = 0; i < count; i++)
        attempt_all(&functions[i]);
    waldo_chunk_release(the_chunk);
    waldo_stream_release(the_stream);
    OK(waldo_close(the_store, -1, &error));
    waldo_release(the_store);
    waldo_queue_release(the_queue);
    waldo_options_free(the_options);
    return 0;
}
