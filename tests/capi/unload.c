/*
 * Loads the library and unloads it, again and again, while its threads live and work: it stays in
 * memory, since they would run into nothing.
 */
#include "test.h"

#include <dlfcn.h>

/* The functions that are used, found by their names. */
#define FIND(name)                                                                              \
    __typeof__(name) *own_##name;                                                               \
    find(library, #name, &own_##name)

/* The standard knows no conversion of what dlsym answers to a function. */
static void find(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    if (found == NULL) {
        fprintf(stderr, "%s: %s\n", name, dlerror());
        _exit(1);
    }
    memcpy(function, &found, sizeof found);
}

static void count(void *context, const waldo_completion *done, size_t count)
{
    for (size_t i = 0; i < count; i++)
        EQUAL(done[i].status, WALDO_OK);
    atomic_fetch_add((atomic_size_t *)context, count);
}

int main(int argc, char **argv)
{
    enum { ROUNDS = 40, APPENDS = 20 };
    static atomic_size_t completed;
    CHECK(argc == 2);
    for (size_t round = 0; round < ROUNDS; round++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        FIND(waldo_options_new);
        FIND(waldo_options_set);
        FIND(waldo_options_free);
        FIND(waldo_open);
        FIND(waldo_queue_new_callback);
        FIND(waldo_append_async);
        FIND(waldo_close_async);
        FIND(waldo_queue_release);
        FIND(waldo_release);
        waldo_options *options = NULL;
        waldo *store = NULL;
        waldo_queue *queue = NULL;
        const waldo_log log = {.data = (const uint8_t *)"x", .len = 1};
        EQUAL(own_waldo_options_new(&options), WALDO_OK);
        /* The threads of all rounds are there, and so is the memory of all. */
        EQUAL(own_waldo_options_set(options, "backend", "memory", &error), WALDO_OK);
        EQUAL(own_waldo_open("unload", options, &store, &error), WALDO_OK);
        own_waldo_options_free(options);
        EQUAL(own_waldo_queue_new_callback(APPENDS + 1, count, &completed, &queue, &error), WALDO_OK);
        for (uint64_t i = 0; i < APPENDS; i++)
            EQUAL(own_waldo_append_async(store, &log, 1, WALDO_APPEND_ASSIGN, queue, i, &error), WALDO_OK);
        CHECK(dlclose(library) == 0);
        /* With appends under way, and callbacks to come. */
        EQUAL(own_waldo_close_async(store, queue, 0, &error), WALDO_OK);
        own_waldo_queue_release(queue);
        own_waldo_release(store);
        test_await(&completed, (round + 1) * (APPENDS + 1));
    }
    return 0;
}
