/* What a program should not do, or does at the worst of times. */
#include "test.h"

#include <semaphore.h>

static waldo_options *in_memory(void)
{
    waldo_options *options = test_options();
    OK(waldo_options_set(options, "backend", "memory", &error));
    return options;
}

static waldo *open_in_memory(const char *name)
{
    waldo_options *options = in_memory();
    waldo *store = NULL;
    OK(waldo_open(name, options, &store, &error));
    waldo_options_free(options);
    return store;
}

static waldo_status append_async(waldo *store, waldo_queue *queue, uint64_t user_data)
{
    waldo_error fault;
    const waldo_log log = {.data = (const uint8_t *)"hostile", .len = 7};
    return waldo_append_async(store, &log, 1, WALDO_APPEND_ASSIGN, queue, user_data, &fault);
}

/* A callback that blocks holds up its own queue, and nothing else. */
struct gate {
    sem_t entered, open;
    atomic_size_t completed;
};

static void wait_at_gate(void *context, const waldo_completion *done, size_t count)
{
    struct gate *gate = context;
    (void)done;
    sem_post(&gate->entered);
    while (sem_wait(&gate->open) != 0)
        ;
    sem_post(&gate->open);
    atomic_fetch_add(&gate->completed, count);
}

static void blocked_callback(void)
{
    enum { COUNT = 20 };
    static struct gate gate;
    waldo *store = test_open("blocked");
    waldo_queue *blocked = NULL, *polled = NULL;
    waldo_stream *stream = NULL;
    waldo_chunk *chunk = NULL;
    CHECK(sem_init(&gate.entered, 0, 0) == 0 && sem_init(&gate.open, 0, 0) == 0);
    OK(waldo_queue_new_callback(COUNT, wait_at_gate, &gate, &blocked, &error));
    OK(waldo_queue_new(4, &polled, &error));
    OK(waldo_stream_new(store, WALDO_CURSOR_TRIM, 0, 0, &stream, &error));
    for (uint64_t i = 0; i < COUNT; i++)
        EQUAL(append_async(store, blocked, i), WALDO_OK);
    while (sem_wait(&gate.entered) != 0)
        ;
    /* Everybody else goes on. */
    uint64_t newest = 0;
    OK(waldo_sync(store, &error));
    EQUAL(waldo_prev_seq_no(store, &newest), WALDO_OK);
    EQUAL(newest, COUNT);
    EQUAL(append_async(store, polled, 1), WALDO_OK);
    EQUAL(test_take(polled).last_seq_no, COUNT + 1);
    OK(waldo_stream_next(stream, -1, &chunk, &error));
    waldo_chunk_release(chunk);
    /* Its queue is full, since nothing is taken out. */
    waldo_status status = WALDO_OK;
    for (uint64_t i = 0; i <= COUNT && status == WALDO_OK; i++)
        status = append_async(store, blocked, COUNT + i);
    EQUAL(status, WALDO_AGAIN);
    /* A close waits for the store, not for the callback. */
    OK(waldo_close(store, 10 * SECOND, &error));
    waldo_stream_release(stream);
    waldo_release(store);
    waldo_queue_release(polled);
    waldo_queue_release(blocked);
    CHECK(atomic_load(&gate.completed) == 0);
    sem_post(&gate.open);
    for (int round = 0; atomic_load(&gate.completed) < COUNT; round++) {
        CHECK(round < 20000);
        test_sleep_ms(1);
    }
}

/* Cancelling against completing: either, and once. */
struct race {
    waldo *store;
    waldo_queue *queue;
    atomic_size_t cancelled, completed, rounds;
};

static void *cancel_all(void *argument)
{
    struct race *race = argument;
    enum { ROUNDS = 500 };
    for (uint64_t i = 0; i < ROUNDS; i++) {
        /* The reader with this number may be there, or not yet, or not any more. */
        waldo_status status = waldo_queue_cancel(race->queue, i);
        CHECK(status == WALDO_OK || status == WALDO_NOT_FOUND);
        atomic_fetch_add(&race->cancelled, status == WALDO_OK);
        while (atomic_load(&race->rounds) < i)
            sched_yield();
    }
    return NULL;
}

static void cancel_against_complete(void)
{
    enum { ROUNDS = 500 };
    static struct race race;
    pthread_t thread;
    size_t cancelled = 0;
    race.store = open_in_memory("race");
    OK(waldo_queue_new(2, &race.queue, &error));
    CHECK(pthread_create(&thread, NULL, cancel_all, &race) == 0);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        OK(waldo_query_async(race.store, WALDO_CURSOR_TIP, 0, WALDO_QUERY_WAIT, race.queue, i,
                             &error));
        EQUAL(append_async(race.store, race.queue, ROUNDS), WALDO_OK);
        for (int seen = 0; seen < 2; seen++) {
            waldo_completion done = test_take(race.queue);
            if (done.user_data == ROUNDS) {
                EQUAL(done.status, WALDO_OK);
                continue;
            }
            EQUAL(done.user_data, i);
            CHECK(done.status == WALDO_OK || done.status == WALDO_CANCELLED);
            CHECK((done.chunk != NULL) == (done.status == WALDO_OK));
            cancelled += done.status == WALDO_CANCELLED;
            waldo_chunk_release(done.chunk);
        }
        atomic_store(&race.rounds, i + 1);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    EQUAL(atomic_load(&race.cancelled), cancelled);
    EQUAL(waldo_queue_poll(race.queue, NULL, 0), 0);
    OK(waldo_close(race.store, -1, &error));
    waldo_release(race.store);
    waldo_queue_release(race.queue);
}

/* Releases in every order, with operations under way. */
static void count(void *context, const waldo_completion *done, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        waldo_chunk_release(done[i].chunk);
        waldo_release(done[i].store);
    }
    atomic_fetch_add((atomic_size_t *)context, count);
}

enum { HANDLES = 6 };

static void release_in_order(const int *order, int closes)
{
    static atomic_size_t completed;
    waldo_options *options = in_memory();
    waldo *store = NULL;
    waldo_queue *called = NULL, *polled = NULL;
    waldo_stream *stream = NULL, *other = NULL;
    waldo_chunk *chunk = NULL;
    atomic_store(&completed, 0);
    /* Contents of their own each time, since a release closes in the background. */
    static int number;
    char name[32];
    snprintf(name, sizeof name, "order %d", number++);
    OK(waldo_options_set(options, "memory.keep", "false", &error));
    OK(waldo_open(name, options, &store, &error));
    OK(waldo_queue_new_callback(8, count, &completed, &called, &error));
    OK(waldo_queue_new(8, &polled, &error));
    test_append(store, 1, "last chunk");
    OK(waldo_query(store, WALDO_CURSOR_TRIM, 0, 0, 0, &chunk, &error));
    OK(waldo_stream_new(store, WALDO_CURSOR_TIP, 0, 0, &stream, &error));
    OK(waldo_stream_new(store, WALDO_CURSOR_TIP, 0, 0, &other, &error));
    OK(waldo_stream_next_async(stream, called, 1, &error));
    OK(waldo_stream_next_async(other, polled, 2, &error));
    OK(waldo_query_async(store, WALDO_CURSOR_TIP, 0, WALDO_QUERY_WAIT, called, 3, &error));
    EQUAL(append_async(store, called, 4), WALDO_OK);
    EQUAL(append_async(store, polled, 5), WALDO_OK);
    if (closes)
        OK(waldo_close(store, -1, &error));
    for (int i = 0; i < HANDLES; i++) {
        waldo_log log;
        switch (order[i]) {
        case 0: waldo_release(store); break;
        case 1: waldo_queue_release(called); break;
        case 2: waldo_queue_release(polled); break;
        case 3: waldo_stream_release(stream); break;
        case 4: waldo_stream_release(other); break;
        default:
            EQUAL(waldo_chunk_logs(chunk, 0, &log, 1), 1);
            CHECK(memcmp(log.data, "last chunk", 10) == 0);
            waldo_chunk_release(chunk);
        }
    }
    waldo_options_free(options);
    test_await(&completed, 3);
}

static void in_any_order(void)
{
    int order[HANDLES] = {0, 1, 2, 3, 4, 5}, counters[HANDLES] = {0}, at = 0;
    release_in_order(order, 0);
    /* Every permutation, each by one exchange of the one before. */
    for (int round = 1; at < HANDLES;) {
        if (counters[at] >= at) {
            counters[at++] = 0;
            continue;
        }
        int from = at % 2 ? counters[at] : 0, moved = order[from];
        order[from] = order[at];
        order[at] = moved;
        counters[at]++;
        at = 0;
        release_in_order(order, round++ % 2);
    }
}

/* What was opened is released in the very callback that gives it. */
static void open_and_release(void)
{
    static atomic_size_t completed;
    waldo_queue *queue = NULL;
    waldo_options *options = in_memory();
    OK(waldo_queue_new_callback(4, count, &completed, &queue, &error));
    for (size_t i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "released %zu", i);
        OK(waldo_open_async(name, options, queue, i, &error));
        test_await(&completed, i + 1);
    }
    waldo_queue_release(queue);
    waldo_options_free(options);
}

/*
 * What an operation was submitted on is released in its callback, which may run before the call
 * that submitted it returns.
 */
struct brief {
    waldo *store;
    waldo_queue *queue;
    waldo_stream *stream;
    atomic_size_t closed;
};

static void release_at_once(void *context, const waldo_completion *done, size_t count)
{
    struct brief *brief = context;
    for (size_t i = 0; i < count; i++) {
        waldo_error fault;
        waldo_chunk_release(done[i].chunk);
        switch (done[i].kind) {
        case WALDO_KIND_STREAM_NEXT:
            waldo_stream_release(brief->stream);
            break;
        case WALDO_KIND_SYNC:
            CHECK(waldo_close_async(brief->store, brief->queue, 0, &fault) == WALDO_OK);
            break;
        default:
            EQUAL(done[i].kind, WALDO_KIND_CLOSE);
            waldo_release(brief->store);
            waldo_queue_release(brief->queue);
            atomic_fetch_add(&brief->closed, 1);
        }
    }
}

static void brief_lives(void)
{
    static struct brief brief;
    for (size_t round = 0; round < 100; round++) {
        waldo *store = open_in_memory("brief");
        waldo_queue *queue = NULL;
        waldo_stream *stream = NULL;
        waldo_error fault;
        brief.store = store;
        if (round == 0)
            test_append(store, 1, "brief");
        OK(waldo_queue_new_callback(4, release_at_once, &brief, &queue, &error));
        OK(waldo_stream_new(store, WALDO_CURSOR_TRIM, 0, 0, &stream, &error));
        brief.queue = queue;
        brief.stream = stream;
        /* From here on nothing of it is this thread's. */
        EQUAL(waldo_stream_next_async(stream, queue, 0, &fault), WALDO_OK);
        if (round % 2)
            EQUAL(waldo_sync_async(store, queue, 0, &fault), WALDO_OK);
        else
            EQUAL(waldo_close_async(store, queue, 0, &fault), WALDO_OK);
        test_await(&brief.closed, round + 1);
    }
}

/* Forks while four threads append; the parent loses nothing, and children work on their own. */
struct storm {
    waldo *store;
    waldo_queue *queue;
    atomic_size_t accepted, completed;
    atomic_int stop;
};

static void count_appends(void *context, const waldo_completion *done, size_t count)
{
    struct storm *storm = context;
    for (size_t i = 0; i < count; i++)
        EQUAL(done[i].status, WALDO_OK);
    atomic_fetch_add(&storm->completed, count);
}

static void *append_on(void *argument)
{
    struct storm *storm = argument;
    while (!atomic_load(&storm->stop)) {
        waldo_status status = append_async(storm->store, storm->queue, 0);
        CHECK(status == WALDO_OK || status == WALDO_AGAIN);
        if (status == WALDO_OK)
            atomic_fetch_add(&storm->accepted, 1);
        else
            sched_yield();
    }
    return NULL;
}

static void in_child(struct storm *storm, int number)
{
    char name[32];
    alarm(60);
    EQUAL(append_async(storm->store, storm->queue, 0), WALDO_FORKED);
    waldo_queue_release(storm->queue);
    waldo_release(storm->store);
    snprintf(name, sizeof name, "child-%d", number);
    waldo *own = test_open(name);
    test_append(own, 1, "child");
    OK(waldo_close(own, -1, &error));
    waldo_release(own);
    test_end_child(0);
}

static void fork_under_way(void)
{
    enum { THREADS = 4, FORKS = 8 };
    static struct storm storm;
    pthread_t threads[THREADS];
    storm.store = test_open("fork-storm");
    OK(waldo_queue_new_callback(64, count_appends, &storm, &storm.queue, &error));
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, append_on, &storm) == 0);
    for (int i = 0; i < FORKS; i++) {
        size_t before = atomic_load(&storm.completed);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            in_child(&storm, i);
        int result = 0;
        CHECK(waitpid(child, &result, 0) == child);
        CHECK(WIFEXITED(result) && WEXITSTATUS(result) == 0);
        /* It goes on. */
        for (int round = 0; atomic_load(&storm.completed) <= before; round++) {
            CHECK(round < 20000);
            test_sleep_ms(1);
        }
    }
    atomic_store(&storm.stop, 1);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    uint64_t newest = 0;
    OK(waldo_close(storm.store, -1, &error));
    test_await(&storm.completed, atomic_load(&storm.accepted));
    EQUAL(waldo_prev_seq_no(storm.store, &newest), WALDO_OK);
    EQUAL(newest, atomic_load(&storm.accepted));
    waldo_queue_release(storm.queue);
    waldo_release(storm.store);
}

int main(void)
{
    blocked_callback();
    cancel_against_complete();
    in_any_order();
    open_and_release();
    brief_lives();
    if (TEST_BUSY_FORKS)
        fork_under_way();
    return 0;
}
