/**
 * Waldo: an embedded, append-only log on disk.
 *
 * Handles are counted references: what a call gives you is yours, and is released once. Releasing
 * never blocks, takes NULL, and is allowed anywhere, in any order, also after a close.
 *
 * Threads. Every function may be called from any thread, at the same time as any other, except:
 * a waldo_options has one user at a time, a waldo_stream one outstanding next, and one thread at
 * a time takes completions out of a waldo_queue.
 *
 * Asynchronous calls (_async) travel through a waldo_queue. One that answers WALDO_OK completes
 * exactly once, also on close, cancel and failure; one that answers anything else never
 * completes. A completion carries the user_data of its call. Submitting takes a place in the
 * queue, which is free again when the completion is taken out, or handed to the callback; where
 * there is none, the call answers WALDO_AGAIN.
 *
 * Callbacks run on their queue's own thread, never inside the call that submitted. Any
 * asynchronous call, retain and release is allowed in one; a blocking call answers
 * WALDO_WOULD_DEADLOCK.
 *
 * Outputs are written also where a call fails: with NULL or 0. A waldo_error may be NULL.
 *
 * After a fork, calls in the child answer WALDO_FORKED, and release frees memory only.
 *
 * Structs that are passed with their size may grow; enumerators may be added; a function never
 * changes its meaning.
 */

#ifndef WALDO_H
#define WALDO_H

/* Generated from waldo-capi by its tests; do not edit. */

#include <stddef.h>
#include <stdint.h>

/**
 * The values of a `waldo_status`. New ones may be added; those that are there keep their value
 * and meaning. What `wanted` and `actual` of a `waldo_error` say is noted in brackets.
 */
typedef enum waldo_status_code {
    /**
     * It is done.
     */
    WALDO_OK = 0,
    /**
     * An argument cannot be: NULL where something is needed, an unknown flag, a wrong size.
     */
    WALDO_INVALID_ARGUMENT = -1,
    /**
     * An option is unknown, or has a value that cannot work. The message names it.
     */
    WALDO_OPTION = -2,
    /**
     * There is no room just now in the completion queue, in the store's queue or in its
     * buffers. Nothing was submitted; try again after a completion, or in a moment where none
     * is to come: others may use the store as well.
     */
    WALDO_AGAIN = -3,
    /**
     * The time is over. A close goes on nevertheless; reading changed nothing.
     */
    WALDO_TIMEOUT = -4,
    /**
     * The operation was cancelled, or its stream was released.
     */
    WALDO_CANCELLED = -5,
    /**
     * A blocking call inside a completion callback: it would wait for itself.
     */
    WALDO_WOULD_DEADLOCK = -6,
    /**
     * The stream is in use: it has one outstanding `next` at a time.
     */
    WALDO_BUSY = -7,
    /**
     * The store is closed.
     */
    WALDO_CLOSED = -8,
    /**
     * The handle was made before a fork, and is used in the child.
     */
    WALDO_FORKED = -9,
    /**
     * The library failed in a way that it should not; the operation may have been done or not.
     */
    WALDO_PANIC = -10,
    /**
     * Nothing has the number asked for (wanted: that number), or no operation waits with it.
     */
    WALDO_NOT_FOUND = -11,
    /**
     * The system refused a call; see `os_errno`.
     */
    WALDO_IO = -20,
    /**
     * The store is open already, here or in another process (actual: its pid, or 0).
     */
    WALDO_LOCKED = -21,
    /**
     * The directory holds something other than a store.
     */
    WALDO_NOT_A_STORE = -22,
    /**
     * The store was written by a newer version (actual: its format).
     */
    WALDO_NEWER = -23,
    /**
     * Stored logs are damaged (actual: the last log before the damage).
     */
    WALDO_CORRUPTION = -24,
    /**
     * The system lacks what an option asks for. The message says what to do.
     */
    WALDO_UNSUPPORTED = -25,
    /**
     * A write or a sync failed, now or earlier. What was not acknowledged may be on disk or
     * not; close the store and open it again to recover.
     */
    WALDO_POISONED = -26,
    /**
     * The disk is full. What is there can be read; try the append again once there is room.
     */
    WALDO_NO_SPACE = -27,
    /**
     * The ring is full of logs that are held (actual: the oldest); trim some.
     */
    WALDO_FULL = -28,
    /**
     * A log does not follow the one before it (wanted: the `prev_seq_no` that would have been
     * accepted; actual: the one it has). Nothing of its frame was appended.
     */
    WALDO_SEQUENCE = -40,
    /**
     * The `seq_no` of a log (actual) is not greater than its `prev_seq_no` (wanted).
     */
    WALDO_ORDER = -41,
    /**
     * A log is too large (wanted: the limit in bytes; actual: its size).
     */
    WALDO_EXCEEDS_LIMIT = -42,
    /**
     * An atomic append is too large (wanted: the limit in bytes; actual: its size).
     */
    WALDO_BATCH_TOO_LARGE = -43,
    /**
     * No sequence numbers are left to be assigned (actual: the newest log).
     */
    WALDO_EXHAUSTED = -44,
    /**
     * The logs asked for are trimmed (actual: from which number on logs are left; a query from
     * there finds the oldest). A stream goes on there.
     */
    WALDO_TRIMMED = -60,
    /**
     * Logs that a reader had reached were truncated (actual: the last that is left). A stream
     * goes on behind it.
     */
    WALDO_TRUNCATED = -61,
} waldo_status_code;

/**
 * What `waldo_status_traits` answers: bits that say what to do about a status.
 */
typedef enum waldo_status_traits_bits {
    /**
     * The same call may succeed later.
     */
    WALDO_TRAIT_RETRY = 1,
    /**
     * This handle will not work again; open the store anew.
     */
    WALDO_TRAIT_FATAL = 2,
    /**
     * Logs of the append may have been appended.
     */
    WALDO_TRAIT_MAYBE_APPENDED = 4,
    /**
     * The caller made a mistake.
     */
    WALDO_TRAIT_USAGE = 8,
} waldo_status_traits_bits;

/**
 * What a completion is the end of.
 */
typedef enum waldo_kind {
    /**
     * `waldo_open_async`
     */
    WALDO_KIND_OPEN = 1,
    /**
     * `waldo_close_async`
     */
    WALDO_KIND_CLOSE = 2,
    /**
     * `waldo_append_async`, `waldo_append_packed_async`
     */
    WALDO_KIND_APPEND = 3,
    /**
     * `waldo_sync_async`
     */
    WALDO_KIND_SYNC = 4,
    /**
     * `waldo_trim_async`
     */
    WALDO_KIND_TRIM = 5,
    /**
     * `waldo_truncate_async`
     */
    WALDO_KIND_TRUNCATE = 6,
    /**
     * `waldo_clear_async`
     */
    WALDO_KIND_CLEAR = 7,
    /**
     * `waldo_query_async`
     */
    WALDO_KIND_QUERY = 8,
    /**
     * `waldo_stream_next_async`
     */
    WALDO_KIND_STREAM_NEXT = 9,
} waldo_kind;

/**
 * Flags of the append calls.
 */
typedef enum waldo_append_flags {
    /**
     * The store numbers the logs from its newest on; their own numbers are not looked at.
     */
    WALDO_APPEND_ASSIGN = 1,
    /**
     * All logs or none, also after a crash; more than fits a frame is refused.
     */
    WALDO_APPEND_ATOMIC = 2,
    /**
     * Completes when the logs are durable, whatever the option `file_o_dsync` says.
     */
    WALDO_APPEND_DURABLE = 4,
    /**
     * The payloads stay valid and unchanged until the completion, so that they need not be
     * copied before the call returns.
     */
    WALDO_APPEND_BORROW = 8,
} waldo_append_flags;

/**
 * Where reading starts.
 */
typedef enum waldo_cursor {
    /**
     * At the oldest log there is; `seq_no` is not looked at.
     */
    WALDO_CURSOR_TRIM = 0,
    /**
     * Behind the newest log; `seq_no` is not looked at.
     */
    WALDO_CURSOR_TIP = 1,
    /**
     * At the first log whose number is greater than `seq_no`.
     */
    WALDO_CURSOR_AFTER = 2,
    /**
     * At the first log whose number is `seq_no` or greater.
     */
    WALDO_CURSOR_FROM = 3,
} waldo_cursor;

/**
 * Flags of the query calls.
 */
typedef enum waldo_query_flags {
    /**
     * Waits for a log where there is none yet.
     */
    WALDO_QUERY_WAIT = 1,
} waldo_query_flags;

/**
 * What the system can do: bits of `waldo_probe`.
 */
typedef enum waldo_features {
    /**
     * The kernel is 6.8 or later.
     */
    WALDO_FEATURE_KERNEL = 1,
    /**
     * io_uring may be used.
     */
    WALDO_FEATURE_IO_URING = 2,
    /**
     * Enough memory may be locked to register buffers.
     */
    WALDO_FEATURE_MEMORY_LOCK = 4,
    /**
     * Huge pages are reserved, for the option `huge_buf`.
     */
    WALDO_FEATURE_HUGE_PAGES = 8,
} waldo_features;

/**
 * An immutable run of logs.
 */
typedef struct waldo_chunk waldo_chunk;

/**
 * What a store is opened with: settings by key. In brackets the defaults; sizes are in bytes.
 *
 * On disk:
 *
 * - `ring_size` (0): page files in the ring, at least 2. 0 for as many as the store has, and 4 in
 *   a new one;
 * - `file_capacity` (0): size of each, a multiple of 4,096, fixed when the store is made. 0 for
 *   that of the store, with buffers no larger than it, and 64 MiB in a new one;
 * - `page_capacity` (no limit): most logs in one;
 * - `retention` (`overwrite`): what happens when the ring is full. The oldest logs go; or with
 *   `hold` appends wait, and with `refuse` they fail, until enough is trimmed.
 *
 * What an append promises:
 *
 * - `file_o_dsync` (`true`): it is acknowledged when it is durable. With `false` it is when the
 *   system has it: it survives a crash of the program, but of the machine only after a sync;
 * - `flush_interval_ns` (0): with `false` above, a sync this long after an append; 0 for none.
 *
 * In memory:
 *
 * - `buf_capacity` (1 MiB): size of a buffer: the most that is appended all or none;
 * - `pool_size` (8): buffers that appends may be in at a time;
 * - `tail_capacity` (4 MiB): the newest logs, for readers that keep up;
 * - `read_capacity` (8 MiB): older logs, for all readers together;
 * - `index_capacity` (4,096), `index_sparse_bytes` (16 KiB), `index_sparse_count` (1,024): most
 *   entries of a page file's index, and the bytes and logs from one entry to the next;
 * - `huge_buf` (`false`): buffers in huge pages, where the system has some reserved.
 *
 * Asking the system:
 *
 * - `backend` (`auto`): `io_uring`, `threads`, or the first where it may be used;
 * - `io` (`auto`): `buffered`, `direct`, or direct for durable logs where the file system can;
 * - `queue_depth` (64): reads and writes at a time.
 *
 * Opening:
 *
 * - `recovery` (`full`): every checksum; with `fast` full page files are trusted by their summary;
 * - `corruption` (`refuse`): what happens where durable logs are damaged. Opening fails; or with
 *   `truncate` the log is cut there, and copies of the files are kept.
 */
typedef struct waldo_options waldo_options;

/**
 * A queue of completions.
 */
typedef struct waldo_queue waldo_queue;

/**
 * A stream, or a query that is under way.
 */
typedef struct waldo_stream waldo_stream;

/**
 * An open store.
 */
typedef struct waldo waldo;

/**
 * What a call answers: `WALDO_OK`, or a negative `waldo_status_code`.
 */
typedef int32_t waldo_status;

/**
 * Why a call failed, in the caller's own storage: there is nothing to free, and nothing that
 * another thread could change.
 *
 * Every call that takes one writes it, also where the call succeeds: `status` is what the call
 * answers, then. Where the call succeeds, `message` is the empty string.
 */
typedef struct waldo_error {
    /**
     * What the call answers.
     */
    waldo_status status;
    /**
     * The system's error number; 0 where the system has no part in it.
     */
    int32_t os_errno;
    /**
     * What would have been right; see `waldo_status_code`.
     */
    uint64_t wanted;
    /**
     * What was found; see `waldo_status_code`.
     */
    uint64_t actual;
    /**
     * Zeros.
     */
    uint64_t reserved[4];
    /**
     * What happened, and what to do about it: UTF-8 with a 0 at its end, cut to fit.
     */
    char message[256];
} waldo_error;

/**
 * How an operation ended.
 */
typedef struct waldo_completion {
    /**
     * What was given with the operation.
     */
    uint64_t user_data;
    /**
     * Which operation it was: a `waldo_kind`.
     */
    uint32_t kind;
    /**
     * How it ended.
     */
    waldo_status status;
    /**
     * The system's error number; 0 where the system has no part in it.
     */
    int32_t os_errno;
    /**
     * 0; bits may be added.
     */
    uint32_t flags;
    /**
     * The first log appended or read; 0 where there is none.
     */
    uint64_t first_seq_no;
    /**
     * The last log appended or read; 0 where there is none.
     */
    uint64_t last_seq_no;
    /**
     * How many logs were appended. 0 for everything else: `waldo_chunk_count` counts a chunk.
     */
    uint64_t count;
    /**
     * As in `waldo_error`.
     */
    uint64_t wanted;
    /**
     * As in `waldo_error`.
     */
    uint64_t actual;
    /**
     * What was read: yours to release with `waldo_chunk_release`. NULL where nothing was read.
     * Streams that follow the log side by side may be given references to one chunk; each is
     * released for itself.
     */
    struct waldo_chunk *chunk;
    /**
     * The store that was opened: yours to release with `waldo_release`. NULL for other kinds.
     */
    struct waldo *store;
    /**
     * Zeros.
     */
    uint64_t reserved[2];
} waldo_completion;

/**
 * Takes completions, on the queue's own thread.
 *
 * `completions` is valid during the call only; the chunks and stores in it are yours. Any
 * asynchronous call, retain and release is allowed inside; a blocking call answers
 * `WALDO_WOULD_DEADLOCK`. It must return normally: no exception, no `longjmp`.
 */
typedef void (*waldo_completion_fn)(void *context,
                                    const struct waldo_completion *completions,
                                    size_t count);

/**
 * One log: a payload with its number and the number of the log before it.
 */
typedef struct waldo_log {
    /**
     * Its number, greater than `prev_seq_no`.
     */
    uint64_t seq_no;
    /**
     * The number of the log before it; 0 before the first.
     */
    uint64_t prev_seq_no;
    /**
     * The payload; may be NULL where `len` is 0.
     */
    const uint8_t *data;
    /**
     * Bytes of the payload.
     */
    uint64_t len;
} waldo_log;

/**
 * What a store holds and does just now. The numbers are looked up one after the other while the
 * store goes on.
 */
typedef struct waldo_metadata {
    /**
     * Every log up to and with this one is gone.
     */
    uint64_t after_seq_no;
    /**
     * The newest log; 0 where there is none.
     */
    uint64_t prev_seq_no;
    /**
     * The newest log that survives a power loss; 0 where there is none.
     */
    uint64_t durable_seq_no;
    /**
     * Logs that can be read.
     */
    uint64_t log_count;
    /**
     * Entries of all indexes.
     */
    uint64_t index_count;
    /**
     * Bytes on disk.
     */
    uint64_t disk_size;
    /**
     * Bytes of memory that indexes take.
     */
    uint64_t index_size;
    /**
     * Page files in use.
     */
    uint64_t page_count;
    /**
     * Page files whose blocks are being written ahead of need.
     */
    uint64_t pending_resets;
    /**
     * Appends and other operations that are not acknowledged yet.
     */
    uint64_t pending_appends;
    /**
     * Reads from disk under way.
     */
    uint64_t pending_queries;
    /**
     * Syncs under way.
     */
    uint64_t pending_fsyncs;
    /**
     * Buffers that nobody holds.
     */
    uint64_t buffers_free;
    /**
     * Buffers that only readers hold.
     */
    uint64_t buffers_detached;
    /**
     * Bytes of memory for older logs that readers hold.
     */
    uint64_t read_memory_used;
    /**
     * Streams and queries that wait for newer logs.
     */
    uint64_t waiting_streams;
    /**
     * Most bytes that a log may take with its header of 24 bytes and padding to 8.
     */
    uint64_t log_size_limit;
    /**
     * Most bytes of logs, counted like that, that are appended all or none.
     */
    uint64_t batch_size_limit;
    /**
     * Most logs that are appended all or none.
     */
    uint64_t batch_count_limit;
} waldo_metadata;

/**
 * What recovery found when a store was opened.
 */
typedef struct waldo_recovery {
    /**
     * 1 where the store was made by this open.
     */
    uint64_t created;
    /**
     * Page files that hold logs.
     */
    uint64_t page_count;
    /**
     * Page files whose summary stood in for a scan.
     */
    uint64_t sealed_page_count;
    /**
     * Bytes read.
     */
    uint64_t bytes_read;
    /**
     * Logs that can be read.
     */
    uint64_t log_count;
    /**
     * Every log up to and with this one is gone.
     */
    uint64_t after_seq_no;
    /**
     * The newest log; 0 where there is none.
     */
    uint64_t prev_seq_no;
    /**
     * 1 where a torn tail was dropped: writes that nobody was told had succeeded.
     */
    uint64_t dropped;
    /**
     * The page file in which it starts.
     */
    uint64_t dropped_page;
    /**
     * Where in it, in bytes.
     */
    uint64_t dropped_offset;
    /**
     * Frames behind the tear that were dropped with it.
     */
    uint64_t dropped_frame_count;
    /**
     * 1 where the log was cut at damage, as the option `corruption` asks for.
     */
    uint64_t cut;
    /**
     * The page file that is damaged.
     */
    uint64_t cut_page;
    /**
     * Where in it, in bytes.
     */
    uint64_t cut_offset;
    /**
     * The last log before the damage.
     */
    uint64_t cut_after_seq_no;
    /**
     * Page files of which copies were kept in `quarantine/`.
     */
    uint64_t quarantined_count;
    /**
     * How long it took, in nanoseconds.
     */
    uint64_t duration_ns;
} waldo_recovery;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library as a number: `major * 1000000 + minor * 1000 + patch`.
 */
uint32_t waldo_version_number(void);

/**
 * The version of the library, such as `"0.1.0"`. The text is the library's, and stays valid.
 */
const char *waldo_version_string(void);

/**
 * The version of the ABI: a program works with the library where it was built for the same.
 */
uint32_t waldo_abi_version(void);

/**
 * Says what of the system Waldo can use: `*features` gets `WALDO_FEATURE_…` bits. Everything
 * works without any of them, more slowly. Where something is missing, the message of `error`
 * says what, and what to do about it; the answer is `WALDO_OK` all the same. From any thread.
 *
 * Errors: `WALDO_INVALID_ARGUMENT`.
 */
waldo_status waldo_probe(uint64_t *features, struct waldo_error *error);

/**
 * The name of a status, such as `"WALDO_AGAIN"`; `"unknown"` where there is none.
 *
 * Never NULL; the text is the library's, and stays valid. From any thread.
 */
const char *waldo_status_name(waldo_status status);

/**
 * What to do about a status: `WALDO_TRAIT_…` bits. 0 for `WALDO_OK` and unknown ones.
 *
 * `WALDO_TRAIT_MAYBE_APPENDED` matters for appends that are larger than a frame: parts before
 * the one that failed were appended. From any thread.
 */
uint32_t waldo_status_traits(waldo_status status);

/**
 * Makes options with the default values. Yours to free with `waldo_options_free`; NULL on
 * failure. One thread at a time uses them; each may be another.
 *
 * Errors: `WALDO_INVALID_ARGUMENT`.
 */
waldo_status waldo_options_new(struct waldo_options **options);

/**
 * Frees options. NULL is fine. Stores that were opened with them do not mind.
 */
void waldo_options_free(struct waldo_options *options);

/**
 * Sets an option. Numbers are decimal, switches are `true` or `false`, and choices are words in
 * lower case; times end in `_ns`, are nanoseconds, and 0 means none. Both texts are used during
 * the call only.
 *
 * The range of a number is checked when a store is opened, since some depend on others.
 *
 * With `backend` = `memory` nothing is on disk, and a path is only a name: whoever opens it
 * again in this process finds the logs, unless `memory.keep` was `false` when it was closed. Such
 * a store fails on demand, for tests of programs and bindings: `memory.fail` says what (`write`,
 * `short_write`, `sync`, `read`, or `space` for a full disk; `none`), `memory.fail_after` how
 * many of these succeed before (for `space`, bytes), counted from the end of the open,
 * `memory.fail_count` how many fail then (1), and `memory.errno` with which error of the system.
 *
 * Errors: `WALDO_OPTION` where the key is unknown or the value cannot be: nothing was changed;
 * `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
 */
waldo_status waldo_options_set(struct waldo_options *options,
                               const char *key,
                               const char *value,
                               struct waldo_error *error);

/**
 * Sets an option that is a number, a switch (0 or 1) or a time in nanoseconds.
 *
 * Errors: as `waldo_options_set`.
 */
waldo_status waldo_options_set_u64(struct waldo_options *options,
                                   const char *key,
                                   uint64_t value,
                                   struct waldo_error *error);

/**
 * Writes the value of an option, as `waldo_options_set` would take it, to `value`, which has
 * room for `size` bytes with the 0 at the end. 64 are enough for each. On failure an empty text
 * is written, where there is room for one.
 *
 * Errors: `WALDO_OPTION` where the key is unknown, `WALDO_INVALID_ARGUMENT` also where there is
 * too little room (wanted: the bytes needed), `WALDO_FORKED`.
 */
waldo_status waldo_options_get(const struct waldo_options *options,
                               const char *key,
                               char *value,
                               size_t size,
                               struct waldo_error *error);

/**
 * The name of the option with this index, from 0 on; NULL behind the last. The text is the
 * library's, and stays valid. From any thread.
 */
const char *waldo_options_key(size_t index);

/**
 * Makes a queue from which you take completions yourself: with `waldo_queue_poll` when
 * `waldo_queue_fd` is readable, or with `waldo_queue_wait`.
 *
 * `depth`, from 1 to 1048576, is how many operations may be under way through it, counting
 * those whose completions were not taken out. One thread at a time takes completions out; any
 * thread submits.
 *
 * Yours to release with `waldo_queue_release`; NULL on failure. From any thread.
 *
 * Errors: `WALDO_INVALID_ARGUMENT`, `WALDO_IO`.
 */
waldo_status waldo_queue_new(uint32_t depth, struct waldo_queue **queue, struct waldo_error *error);

/**
 * Makes a queue that hands completions to a callback, in batches, on a thread of its own.
 *
 * The callback never runs inside the call that submitted, and never twice at the same time.
 * `context` is passed to it as it is, and must stay valid until the queue is released and every
 * operation that was accepted has completed; after that the callback does not run any more.
 * A language runtime that runs the callback on a thread of its own, while the queue's waits,
 * must not wait for the store there: nobody would notice, and it could be for ever.
 *
 * Yours to release with `waldo_queue_release`; NULL on failure. From any thread.
 *
 * Errors: `WALDO_INVALID_ARGUMENT`, `WALDO_IO` where the system refuses a thread.
 */
waldo_status waldo_queue_new_callback(uint32_t depth,
                                      waldo_completion_fn callback,
                                      void *context,
                                      struct waldo_queue **queue,
                                      struct waldo_error *error);

/**
 * The file descriptor that is readable while there may be completions to take out: for epoll,
 * poll, libuv, asyncio and the like. Do not read, write or close it: it is closed when the queue
 * is released, so take it out of your event loop before. A loop that closes what it watches is
 * given a duplicate (`dup`).
 *
 * -1 for a callback queue, for NULL, and in a forked child. It may be readable although
 * `waldo_queue_poll` finds nothing; edge-triggered users poll until it answers less than they
 * asked for. From any thread.
 */
int waldo_queue_fd(const struct waldo_queue *queue);

/**
 * Takes out the completions that are there, up to `capacity`; answers how many. Does not wait.
 *
 * The chunks and stores in them are yours. 0 for a callback queue, for NULL, and in a forked
 * child. From any thread, one at a time.
 */
size_t waldo_queue_poll(struct waldo_queue *queue,
                        struct waldo_completion *completions,
                        size_t capacity);

/**
 * Takes completions out, and waits until there are `min`, or `timeout_ns` nanoseconds are over
 * (negative: for ever). `min` is at most `capacity`, and may be 0.
 *
 * `*count` says how many were taken, also after `WALDO_TIMEOUT`. The chunks and stores in them
 * are yours. From any thread, one at a time.
 *
 * Errors: `WALDO_TIMEOUT`, `WALDO_INVALID_ARGUMENT` (also for a callback queue),
 * `WALDO_WOULD_DEADLOCK`, `WALDO_FORKED`.
 */
waldo_status waldo_queue_wait(struct waldo_queue *queue,
                              struct waldo_completion *completions,
                              size_t capacity,
                              size_t min,
                              int64_t timeout_ns,
                              size_t *count);

/**
 * Cancels the queries and stream reads that wait with `user_data`: each completes with
 * `WALDO_CANCELLED`. Everything else that was submitted goes on.
 *
 * From any thread.
 *
 * Errors: `WALDO_NOT_FOUND` where none waits with it (any more), `WALDO_INVALID_ARGUMENT`,
 * `WALDO_FORKED`.
 */
waldo_status waldo_queue_cancel(struct waldo_queue *queue, uint64_t user_data);

/**
 * Releases a queue. NULL is fine.
 *
 * Queries and stream reads that wait are cancelled; other operations go on. Their completions
 * still reach the callback of a callback queue; those of a pollable queue are dropped, with
 * their chunks. Never blocks; from any thread, callbacks and finalizers included.
 */
void waldo_queue_release(struct waldo_queue *queue);

/**
 * Opens the store in the directory `path`, or makes one there, and waits for it. Recovers what
 * is there: `waldo_recovery_get` says what was found.
 *
 * `options` may be NULL for the defaults; it stays yours. `*store` is yours to release with
 * `waldo_release`, and NULL on failure. From any thread, but not in a callback.
 *
 * Errors: `WALDO_OPTION`, `WALDO_LOCKED`, `WALDO_NOT_A_STORE`, `WALDO_NEWER`,
 * `WALDO_CORRUPTION`, `WALDO_UNSUPPORTED`, `WALDO_IO`, `WALDO_INVALID_ARGUMENT`,
 * `WALDO_WOULD_DEADLOCK`.
 */
waldo_status waldo_open(const char *path,
                        const struct waldo_options *options,
                        struct waldo **store,
                        struct waldo_error *error);

/**
 * Like `waldo_open`, without waiting: the completion has the store. `path` and `options` are
 * not used after the call. From any thread.
 *
 * Errors of the call: `WALDO_OPTION`, `WALDO_AGAIN`, `WALDO_INVALID_ARGUMENT`, `WALDO_IO` where
 * the system refuses a thread, `WALDO_FORKED`; all others come with the completion.
 */
waldo_status waldo_open_async(const char *path,
                              const struct waldo_options *options,
                              struct waldo_queue *queue,
                              uint64_t user_data,
                              struct waldo_error *error);

/**
 * Closes a store, and waits: finishes what was submitted, makes it durable, seals, and releases
 * the lock on the directory. Waits no longer than `timeout_ns` nanoseconds (negative: for
 * ever); after `WALDO_TIMEOUT` the close goes on, and may be waited for again.
 *
 * Every operation that was submitted before has completed when this returns. Later calls answer
 * `WALDO_CLOSED`; streams go on to the last log first. The handle stays valid until it is
 * released. From any thread, but not in a callback.
 *
 * Errors: `WALDO_TIMEOUT`, `WALDO_POISONED` (closed all the same), `WALDO_CLOSED` where it was
 * closed before, `WALDO_INVALID_ARGUMENT`, `WALDO_WOULD_DEADLOCK`, `WALDO_FORKED`.
 */
waldo_status waldo_close(struct waldo *store, int64_t timeout_ns, struct waldo_error *error);

/**
 * Like `waldo_close`, without waiting. The completion comes after those of all operations that
 * were submitted before. From any thread.
 *
 * Errors of the call: `WALDO_AGAIN`, `WALDO_CLOSED`, `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`;
 * with the completion: `WALDO_POISONED`.
 */
waldo_status waldo_close_async(struct waldo *store,
                               struct waldo_queue *queue,
                               uint64_t user_data,
                               struct waldo_error *error);

/**
 * Counts one more reference to a store: each is released once. NULL is fine. From any thread.
 */
void waldo_retain(struct waldo *store);

/**
 * Releases a reference to a store. NULL is fine.
 *
 * Where it is the last one, and no stream or operation is left, a store that was not closed is
 * closed in the background; what goes wrong then is only logged, so close before. Never blocks;
 * from any thread, callbacks and finalizers included. In a forked child it frees memory only.
 */
void waldo_release(struct waldo *store);

/**
 * Appends logs, and waits until they are acknowledged.
 *
 * The first log is accepted where its `prev_seq_no` is the newest log of the store, and every
 * other where it is the one before it; or with `WALDO_APPEND_ASSIGN` the store numbers them.
 * What fits one frame is appended all or not at all. More is appended in several parts, one
 * after the other: then an error says nothing of the parts before, which `waldo_prev_seq_no`
 * tells of.
 *
 * `logs` and its payloads are used during the call only. `last_seq_no` may be NULL; it is set to
 * the number of the last log, and to 0 on failure. `count` may be 0: then it is the newest log.
 * From any thread, but not in a callback.
 *
 * Errors: `WALDO_SEQUENCE`, `WALDO_ORDER`, `WALDO_EXCEEDS_LIMIT`, `WALDO_BATCH_TOO_LARGE`,
 * `WALDO_EXHAUSTED`, `WALDO_FULL`, `WALDO_NO_SPACE`, `WALDO_POISONED`, `WALDO_CLOSED`,
 * `WALDO_INVALID_ARGUMENT`, `WALDO_WOULD_DEADLOCK`, `WALDO_FORKED`.
 */
waldo_status waldo_append(struct waldo *store,
                          const struct waldo_log *logs,
                          size_t count,
                          uint32_t flags,
                          uint64_t *last_seq_no,
                          struct waldo_error *error);

/**
 * Appends logs, without waiting. The completion has the first and last number, and the count.
 *
 * Appends that are submitted one after the other are carried out in that order. One that is
 * larger than a frame (`batch_size_limit` of `waldo_metadata`) is appended in several parts
 * beside what is submitted after it: wait for its completion before going on.
 *
 * `logs` is used during the call only; so are the payloads, unless `WALDO_APPEND_BORROW` says
 * that they stay valid until the completion. From any thread.
 *
 * Errors of the call: `WALDO_AGAIN`, and, where the batch itself is wrong, those of
 * `waldo_append`: nothing was submitted, and nothing completes. With the completion: those of
 * `waldo_append`.
 */
waldo_status waldo_append_async(struct waldo *store,
                                const struct waldo_log *logs,
                                size_t count,
                                uint32_t flags,
                                struct waldo_queue *queue,
                                uint64_t user_data,
                                struct waldo_error *error);

/**
 * Appends payloads that lie back to back in memory, and waits until they are acknowledged. The
 * store numbers them, with or without `WALDO_APPEND_ASSIGN`.
 *
 * `base` has `len` bytes; payload `i` ends before the offset `ends[i]`, and starts where the one
 * before it ends. Both are used during the call only. Everything else is as in `waldo_append`.
 */
waldo_status waldo_append_packed(struct waldo *store,
                                 const uint8_t *base,
                                 uint64_t len,
                                 const uint64_t *ends,
                                 size_t count,
                                 uint32_t flags,
                                 uint64_t *last_seq_no,
                                 struct waldo_error *error);

/**
 * Like `waldo_append_packed`, without waiting; and like `waldo_append_async`, also in its
 * errors. `ends` is used during the call only; so is `base`, unless `WALDO_APPEND_BORROW` says
 * that it stays valid until the completion.
 */
waldo_status waldo_append_packed_async(struct waldo *store,
                                       const uint8_t *base,
                                       uint64_t len,
                                       const uint64_t *ends,
                                       size_t count,
                                       uint32_t flags,
                                       struct waldo_queue *queue,
                                       uint64_t user_data,
                                       struct waldo_error *error);

/**
 * Makes durable what was submitted before, and waits for that. From any thread, but not in a
 * callback.
 *
 * Errors: `WALDO_POISONED`, `WALDO_CLOSED`, `WALDO_INVALID_ARGUMENT`, `WALDO_WOULD_DEADLOCK`,
 * `WALDO_FORKED`.
 */
waldo_status waldo_sync(struct waldo *store, struct waldo_error *error);

/**
 * Like `waldo_sync`, without waiting. From any thread.
 *
 * Errors of the call: `WALDO_AGAIN` and those of `waldo_sync`; with the completion: the same.
 */
waldo_status waldo_sync_async(struct waldo *store,
                              struct waldo_queue *queue,
                              uint64_t user_data,
                              struct waldo_error *error);

/**
 * Gives up the logs up to and with `up_to_seq_no`, durably, and waits for that: readers do not
 * get them any more, and their room may be used anew. More than there is means all that is
 * there. From any thread, but not in a callback.
 *
 * Errors: `WALDO_POISONED`, `WALDO_CLOSED`, `WALDO_CORRUPTION` or `WALDO_IO` where logs that
 * must be counted cannot be read, `WALDO_INVALID_ARGUMENT`, `WALDO_WOULD_DEADLOCK`,
 * `WALDO_FORKED`.
 */
waldo_status waldo_trim(struct waldo *store, uint64_t up_to_seq_no, struct waldo_error *error);

/**
 * Like `waldo_trim`, without waiting. From any thread.
 *
 * Errors of the call: `WALDO_AGAIN` and those of `waldo_trim`; with the completion: the same.
 */
waldo_status waldo_trim_async(struct waldo *store,
                              uint64_t up_to_seq_no,
                              struct waldo_queue *queue,
                              uint64_t user_data,
                              struct waldo_error *error);

/**
 * Removes the logs after `after_seq_no`, durably, and waits for that. There must be a log with
 * this number, or it is the trim point. Readers that were further on get `WALDO_TRUNCATED`.
 * From any thread, but not in a callback.
 *
 * Errors: `WALDO_NOT_FOUND`, `WALDO_FULL`, `WALDO_NO_SPACE` and those of `waldo_trim`.
 */
waldo_status waldo_truncate(struct waldo *store, uint64_t after_seq_no, struct waldo_error *error);

/**
 * Like `waldo_truncate`, without waiting. From any thread.
 *
 * Errors of the call: `WALDO_AGAIN`, `WALDO_IO` where the system refuses a thread, and those of
 * `waldo_truncate`; with the completion: the same.
 */
waldo_status waldo_truncate_async(struct waldo *store,
                                  uint64_t after_seq_no,
                                  struct waldo_queue *queue,
                                  uint64_t user_data,
                                  struct waldo_error *error);

/**
 * Removes every log, durably, and waits for that. The next may have any number. From any
 * thread, but not in a callback.
 *
 * Errors: `WALDO_FULL`, `WALDO_NO_SPACE` and those of `waldo_sync`.
 */
waldo_status waldo_clear(struct waldo *store, struct waldo_error *error);

/**
 * Like `waldo_clear`, without waiting. From any thread.
 *
 * Errors of the call: `WALDO_AGAIN`, `WALDO_IO` where the system refuses a thread, and those of
 * `waldo_clear`; with the completion: the same.
 */
waldo_status waldo_clear_async(struct waldo *store,
                               struct waldo_queue *queue,
                               uint64_t user_data,
                               struct waldo_error *error);

/**
 * Reads the logs from a place on, as many as can be had at once: at least one where there is
 * one.
 *
 * Where there is none, the answer is `WALDO_OK` and an empty chunk, at once. With
 * `WALDO_QUERY_WAIT` it waits for the next log instead, `timeout_ns` nanoseconds at most
 * (negative: for ever), and answers `WALDO_TIMEOUT` where none comes.
 *
 * `*chunk` is yours to release with `waldo_chunk_release`; NULL on failure. From any thread, but
 * not in a callback.
 *
 * Errors: `WALDO_TIMEOUT`, `WALDO_TRIMMED`, `WALDO_TRUNCATED`, `WALDO_CORRUPTION`, `WALDO_IO`,
 * `WALDO_POISONED` and `WALDO_CLOSED` where no newer logs will come, `WALDO_INVALID_ARGUMENT`,
 * `WALDO_WOULD_DEADLOCK`, `WALDO_FORKED`.
 */
waldo_status waldo_query(struct waldo *store,
                         uint32_t cursor_kind,
                         uint64_t seq_no,
                         uint32_t query_flags,
                         int64_t timeout_ns,
                         struct waldo_chunk **chunk,
                         struct waldo_error *error);

/**
 * Like `waldo_query`, without waiting: the completion has the chunk. One that waits for logs
 * ends early with `waldo_queue_cancel`. `WALDO_CURSOR_TIP` is resolved now: what is appended
 * from now on ends the wait. From any thread.
 *
 * Errors of the call: `WALDO_AGAIN`, `WALDO_CLOSED`, `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`;
 * with the completion: those of `waldo_query`, and `WALDO_CANCELLED`.
 */
waldo_status waldo_query_async(struct waldo *store,
                               uint32_t cursor_kind,
                               uint64_t seq_no,
                               uint32_t query_flags,
                               struct waldo_queue *queue,
                               uint64_t user_data,
                               struct waldo_error *error);

/**
 * Makes a reader that starts at a place and follows the log, chunk by chunk.
 *
 * `WALDO_CURSOR_TIP` is resolved now: the stream returns what is appended from now on. There may
 * be tens of thousands of streams; one that waits costs nothing. A stream keeps the store as a
 * reference does.
 *
 * `stream_flags` must be 0. `*stream` is yours to release with `waldo_stream_release`; NULL on
 * failure. From any thread.
 *
 * Errors: `WALDO_CLOSED`, `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
 */
waldo_status waldo_stream_new(struct waldo *store,
                              uint32_t cursor_kind,
                              uint64_t seq_no,
                              uint32_t stream_flags,
                              struct waldo_stream **stream,
                              struct waldo_error *error);

/**
 * Waits for the next logs of a stream, `timeout_ns` nanoseconds at most (negative: for ever; 0:
 * what can be had at once). The position moves only with the chunk that is returned.
 *
 * After `WALDO_TRIMMED` and `WALDO_TRUNCATED` the stream goes on with what is there. Streams of
 * a closed store go on to the last log, and then answer `WALDO_CLOSED`.
 *
 * `*chunk` is yours to release with `waldo_chunk_release`; NULL on failure. From any thread, but
 * not in a callback, and one `next` at a time.
 *
 * Errors: those of `waldo_query`, and `WALDO_BUSY` while another `next` waits.
 */
waldo_status waldo_stream_next(struct waldo_stream *stream,
                               int64_t timeout_ns,
                               struct waldo_chunk **chunk,
                               struct waldo_error *error);

/**
 * Like `waldo_stream_next`, without waiting: the completion has the chunk. It ends early with
 * `waldo_queue_cancel`, or the release of the stream. From any thread, one `next` at a time.
 *
 * Errors of the call: `WALDO_AGAIN`, `WALDO_BUSY`, `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`;
 * with the completion: those of `waldo_stream_next`, and `WALDO_CANCELLED`.
 */
waldo_status waldo_stream_next_async(struct waldo_stream *stream,
                                     struct waldo_queue *queue,
                                     uint64_t user_data,
                                     struct waldo_error *error);

/**
 * The number of the last log that a stream returned; before the first, where it starts. 0 for
 * NULL and in a forked child. From any thread.
 */
uint64_t waldo_stream_position(const struct waldo_stream *stream);

/**
 * Has a stream go on behind the log `seq_no`, forwards or backwards: past damage, for example.
 * From any thread.
 *
 * Errors: `WALDO_BUSY` while a `next` waits, `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
 */
waldo_status waldo_stream_seek(struct waldo_stream *stream,
                               uint64_t seq_no,
                               struct waldo_error *error);

/**
 * Releases a stream. NULL is fine.
 *
 * A `next` that was submitted and waits completes with `WALDO_CANCELLED`. Never blocks; from any
 * thread, callbacks and finalizers included. In a forked child it frees memory only.
 */
void waldo_stream_release(struct waldo_stream *stream);

/**
 * How many logs a chunk has; 0 for NULL. From any thread.
 */
size_t waldo_chunk_count(const struct waldo_chunk *chunk);

/**
 * Describes the logs of a chunk from the index `first` on, `capacity` of them at most; answers
 * how many. Their payloads are not copied: they are valid until the chunk is released.
 *
 * 0 for NULL, and where there are no more. To ask for the next some hundred at a time is fastest:
 * what was described is still in the nearest cache when it is read. From any thread.
 */
size_t waldo_chunk_logs(const struct waldo_chunk *chunk,
                        size_t first,
                        struct waldo_log *logs,
                        size_t capacity);

/**
 * The memory in which the payloads of a chunk's logs lie, oldest first, with other bytes in
 * between; `*len` is set to its size. For bindings that make one view of memory for a chunk:
 * payloads are found in it by the difference to the `data` of `waldo_chunk_logs`.
 *
 * Valid until the chunk is released; NULL and 0 for NULL and for an empty chunk. `len` may be
 * NULL. From any thread.
 */
const uint8_t *waldo_chunk_data(const struct waldo_chunk *chunk, size_t *len);

/**
 * Counts one more reference to a chunk: each is released once. NULL is fine. From any thread.
 */
void waldo_chunk_retain(struct waldo_chunk *chunk);

/**
 * Releases a reference to a chunk; with the last one its logs end. NULL is fine. A chunk is
 * valid after its store was closed and released, but holds memory of it, so release it soon.
 * Never blocks; from any thread, callbacks and finalizers included.
 */
void waldo_chunk_release(struct waldo_chunk *chunk);

/**
 * What a store holds and does just now. `size` is `sizeof(waldo_metadata)`; fields that this
 * version of the library does not know are set to 0, and so are all on failure, unless it is
 * the size that cannot be. Works after a close, too. Does not block; from any thread.
 *
 * Errors: `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
 */
waldo_status waldo_metadata_get(const struct waldo *store,
                                struct waldo_metadata *metadata,
                                size_t size,
                                struct waldo_error *error);

/**
 * What recovery found when the store was opened. `size` is `sizeof(waldo_recovery)`; fields that
 * this version of the library does not know are set to 0, and so are all on failure, unless it
 * is the size that cannot be. Does not block; from any thread.
 *
 * Errors: `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
 */
waldo_status waldo_recovery_get(const struct waldo *store,
                                struct waldo_recovery *recovery,
                                size_t size,
                                struct waldo_error *error);

/**
 * The newest log that readers see; 0 where there is none, and on failure. Takes no lock; works
 * after a close, too. From any thread.
 *
 * Errors: `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
 */
waldo_status waldo_prev_seq_no(const struct waldo *store, uint64_t *seq_no);

/**
 * The newest log that survives a power loss; 0 where there is none, and on failure. Takes no
 * lock; works after a close, too. From any thread.
 *
 * Errors: `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
 */
waldo_status waldo_durable_seq_no(const struct waldo *store, uint64_t *seq_no);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* WALDO_H */
