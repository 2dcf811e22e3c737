/*
 * Appends the lines of the standard input durably, without waiting for each: a callback counts
 * what is safe on disk, and keeps the number of appends under way in bounds.
 *
 *     cc durable_append.c $(pkg-config --cflags --libs waldo) -lpthread -o durable_append
 *     ./durable_append /tmp/lines < file
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <waldo.h>

struct progress {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t under_way, durable, failed, newest;
    int is_closed;
    waldo_status first_failure, closed;
};

/* On the queue's own thread: it must not wait for the store, and need not. */
static void on_completions(void *context, const waldo_completion *done, size_t count)
{
    struct progress *progress = context;
    pthread_mutex_lock(&progress->lock);
    for (size_t i = 0; i < count; i++) {
        if (done[i].kind == WALDO_KIND_CLOSE) {
            progress->is_closed = 1;
            progress->closed = done[i].status;
            continue;
        }
        progress->under_way--;
        if (done[i].status == WALDO_OK) {
            progress->durable++;
            progress->newest = done[i].last_seq_no;
        } else if (progress->failed++ == 0) {
            progress->first_failure = done[i].status;
        }
    }
    pthread_cond_signal(&progress->changed);
    pthread_mutex_unlock(&progress->lock);
}

static void fail(const char *what, const waldo_error *error)
{
    fprintf(stderr, "%s: %s (%s)\n", what, error->message, waldo_status_name(error->status));
    exit(1);
}

int main(int argc, char **argv)
{
    enum { DEPTH = 512 };
    struct progress progress = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                .changed = PTHREAD_COND_INITIALIZER};
    waldo *store = NULL;
    waldo_queue *queue = NULL;
    waldo_error error;
    char *line = NULL;
    size_t room = 0;
    ssize_t len;

    if (argc != 2) {
        fprintf(stderr, "usage: %s directory < lines\n", argv[0]);
        return 2;
    }
    if (waldo_open(argv[1], NULL, &store, &error) != WALDO_OK)
        fail("open", &error);
    /* One place is for the close. */
    if (waldo_queue_new_callback(DEPTH + 1, on_completions, &progress, &queue, &error) != WALDO_OK)
        fail("queue", &error);

    while ((len = getline(&line, &room, stdin)) >= 0) {
        /* The store numbers the log, and copies the line before the call returns. */
        waldo_log log = {.data = (const uint8_t *)line, .len = (uint64_t)len};
        const uint32_t flags = WALDO_APPEND_ASSIGN | WALDO_APPEND_DURABLE;

        pthread_mutex_lock(&progress.lock);
        while (progress.under_way >= DEPTH)
            pthread_cond_wait(&progress.changed, &progress.lock);
        progress.under_way++;
        waldo_status status;
        while ((status = waldo_append_async(store, &log, 1, flags, queue, 0, &error)) ==
                   WALDO_AGAIN &&
               progress.under_way > 1)
            pthread_cond_wait(&progress.changed, &progress.lock);
        pthread_mutex_unlock(&progress.lock);
        if (status != WALDO_OK)
            fail("append", &error);
    }
    free(line);

    /* The close completes behind every append. */
    if (waldo_close_async(store, queue, 0, &error) != WALDO_OK)
        fail("close", &error);
    pthread_mutex_lock(&progress.lock);
    while (!progress.is_closed)
        pthread_cond_wait(&progress.changed, &progress.lock);
    pthread_mutex_unlock(&progress.lock);
    waldo_queue_release(queue);
    waldo_release(store);

    printf("%" PRIu64 " lines are durable, the newest is log %" PRIu64 "\n", progress.durable,
           progress.newest);
    if (progress.failed > 0)
        printf("%" PRIu64 " failed: %s\n", progress.failed,
               waldo_status_name(progress.first_failure));
    return progress.failed > 0 || progress.closed != WALDO_OK;
}
